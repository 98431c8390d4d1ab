import { createHash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import type { ChapPolicy } from '../../../lib/iscsi/directory.js'
import { Chap, IssuedChallenges, type ChapAnswer } from '../../../lib/iscsi/login/chap.js'

const SECRET = Buffer.from('twelve-chars')
const TARGET_SECRET = Buffer.from('another-secret')
const POLICY: ChapPolicy = {
  required: true,
  available: true,
  initiatorSecret: (name) => (name === 'alice' ? SECRET : undefined),
  mutual: { chapName: 'the-target', secret: TARGET_SECRET }
}
/** What the injected source of randomness gives: the identifier a7h, then challenges of 01h 02h 03h … */
const IDENTIFIER = 0xa7

function counted(length: number): Buffer {
  return length === 1 ? Buffer.of(IDENTIFIER) : Buffer.from(Array.from({ length }, (_, i) => i + 1))
}

function makeChap(policy: Partial<ChapPolicy> = {}, issued = new IssuedChallenges()): Chap {
  return new Chap({ policy: { ...POLICY, ...policy }, randomBytes: counted, issued })
}

/** RFC 1994: hash of identifier, secret, challenge. */
function response(hash: string, identifier: number, secret: Buffer, challenge: Buffer): Buffer {
  return createHash(hash)
    .update(Buffer.concat([Buffer.of(identifier), secret, challenge]))
    .digest()
}

function hex(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}

function proof(answer: Partial<ChapAnswer>): ChapAnswer {
  return { name: 'alice', response: undefined, identifier: undefined, challenge: undefined, ...answer }
}

/** Of md5sum: `printf '\xa7twelve-chars\x01\x02…\x10' | md5sum`. */
const MD5_BY_HAND = '76cbf9e552b955afe5a7aac178dee39a'
const GOOD = response('md5', IDENTIFIER, SECRET, counted(16))
const ALGORITHMS: [number: string, hash: string, length: number][] = [
  ['5', 'md5', 16],
  ['6', 'sha1', 20],
  ['7', 'sha256', 32],
  ['8', 'sha3-256', 32]
]
const FAILURE: unknown = expect.objectContaining({ status: 0x0201 })

describe('Chap', () => {
  it('knows the response that another implementation computed', () => {
    expect(GOOD.toString('hex')).toBe(MD5_BY_HAND)
    const chap = makeChap()
    chap.challenge('5')
    expect(chap.verify(proof({ response: `0x${MD5_BY_HAND}` })).chapName).toBe('alice')
  })

  it.each(ALGORITHMS)('does algorithm %s (%s) in hexadecimal and Base64', (number, hash, length) => {
    const challenge = counted(length)
    const good = response(hash, IDENTIFIER, SECRET, challenge)
    for (const text of [hex(good), `0X${good.toString('hex').toUpperCase()}`, `0b${good.toString('base64')}`]) {
      const chap = makeChap()
      expect(chap.challenge(number)).toEqual([
        ['CHAP_A', number],
        ['CHAP_I', '167'],
        ['CHAP_C', hex(challenge)]
      ])
      expect(chap.verify(proof({ response: text }))).toEqual({ chapName: 'alice', answers: [] })
    }
  })

  it.each(ALGORITHMS)('proves the target with algorithm %s (%s)', (number, hash, length) => {
    const chap = makeChap()
    chap.challenge(number)
    const question = Buffer.from('a question of the initiator')
    for (const challenge of [hex(question), `0b${question.toString('base64')}`]) {
      const good = hex(response(hash, IDENTIFIER, SECRET, counted(length)))
      expect(chap.verify(proof({ response: good, identifier: '0', challenge })).answers).toEqual([
        ['CHAP_N', 'the-target'],
        ['CHAP_R', hex(response(hash, 0, TARGET_SECRET, question))]
      ])
    }
  })

  it.each([
    ['5', '5'],
    ['5,6,7,8', '5'],
    ['8,7,6,5', '8'],
    ['8,5', '8'],
    ['7,5', '7'],
    ['6,5', '6'],
    ['99,5', '5'],
    ['0x5', '5']
  ])('takes the first that it has of CHAP_A=%s, which is in order of preference: %s', (list, chosen) => {
    expect(makeChap().challenge(list)[0]).toEqual(['CHAP_A', chosen])
  })

  it.each(['', '4', '55', '5 ', '5,', ',5', 'MD5', '-5', '5.0', 'x'.repeat(8000)])('refuses CHAP_A=%s', (list) => {
    expect(() => makeChap().challenge(list)).toThrow(FAILURE)
  })

  it('draws identifier and challenge anew for each login', () => {
    const drawn: number[] = []
    const chap = new Chap({
      policy: POLICY,
      randomBytes: (length) => {
        drawn.push(length)
        return Buffer.alloc(length)
      },
      issued: new IssuedChallenges()
    })
    chap.challenge('7')
    expect(drawn).toEqual([1, 32])
  })

  const swapped = Buffer.from(GOOD)
  swapped[15]! ^= 1
  it.each([
    ['no CHAP_N', { name: undefined, response: hex(GOOD) }],
    ['no CHAP_R', {}],
    ['an empty name', { name: '', response: hex(GOOD) }],
    ['an unknown name', { name: 'bob', response: hex(GOOD) }],
    ['the name in another case', { name: 'Alice', response: hex(GOOD) }],
    ['a name with a control character', { name: 'alice\u0007', response: hex(GOOD) }],
    ['a name of objects', { name: '__proto__', response: hex(GOOD) }],
    ['a name of 256 bytes', { name: 'a'.repeat(256), response: hex(GOOD) }],
    ['an empty response', { response: '' }],
    ['an empty binary value', { response: '0x' }],
    ['an empty Base64 value', { response: '0b' }],
    ['one bit wrong', { response: hex(swapped) }],
    ['a byte less', { response: hex(GOOD.subarray(0, 15)) }],
    ['a byte more', { response: `${hex(GOOD)}00` }],
    ['a zero byte before it', { response: `0x00${GOOD.toString('hex')}` }],
    ['an odd number of digits', { response: hex(GOOD).slice(0, -1) }],
    ['no prefix', { response: GOOD.toString('hex') }],
    ['digits that are none', { response: `0x${'g'.repeat(32)}` }],
    ['Base64 junk', { response: '0b!!!!' }],
    ['Base64 without its padding', { response: `0b${GOOD.toString('base64').replace(/=/g, '')}` }],
    ['8 KB of digits', { response: `0x${'0'.repeat(8190)}` }],
    ['all zeroes', { response: hex(Buffer.alloc(16)) }],
    ['our own challenge', { response: hex(counted(16)) }]
  ])('fails on %s', (_, answer) => {
    const chap = makeChap()
    chap.challenge('5')
    expect(() => chap.verify(proof(answer))).toThrow(FAILURE)
  })

  it('fails when the response is right for a secret of no one', () => {
    // An unknown name is computed with random bytes; whoever guesses even those is still unknown.
    const chap = makeChap({ initiatorSecret: () => undefined })
    chap.challenge('5')
    const guessed = hex(response('md5', IDENTIFIER, counted(16), counted(16)))
    expect(() => chap.verify(proof({ response: guessed }))).toThrow(FAILURE)
  })

  it('fails with an empty response when a name has no secret', () => {
    const chap = makeChap({ initiatorSecret: () => undefined })
    chap.challenge('5')
    expect(() => chap.verify(proof({ response: hex(Buffer.alloc(16)) }))).toThrow(FAILURE)
  })

  describe('when the target shall prove itself', () => {
    it.each([
      ['CHAP_I is missing', { challenge: '0x01' }],
      ['CHAP_C is missing', { identifier: '1' }],
      ['CHAP_I is 256', { identifier: '256', challenge: '0x01' }],
      ['CHAP_I is negative', { identifier: '-1', challenge: '0x01' }],
      ['CHAP_I is empty', { identifier: '', challenge: '0x01' }],
      ['CHAP_C is empty', { identifier: '1', challenge: '0x' }],
      ['CHAP_C has 1025 bytes', { identifier: '1', challenge: `0x${'00'.repeat(1025)}` }],
      ['CHAP_C is no binary value', { identifier: '1', challenge: 'challenge' }],
      ['CHAP_C is our own challenge', { identifier: '1', challenge: hex(counted(16)) }],
      ['CHAP_C is our own challenge in Base64', { identifier: '1', challenge: `0b${counted(16).toString('base64')}` }]
    ])('fails because %s', (_, question) => {
      const chap = makeChap()
      chap.challenge('5')
      expect(() => chap.verify(proof({ response: hex(GOOD), ...question }))).toThrow(FAILURE)
    })

    it('answers a challenge of 1024 bytes', () => {
      const chap = makeChap()
      chap.challenge('5')
      const question = Buffer.alloc(1024, 7)
      const { answers } = chap.verify(proof({ response: hex(GOOD), identifier: '255', challenge: hex(question) }))
      expect(answers[1]).toEqual(['CHAP_R', hex(response('md5', 255, TARGET_SECRET, question))])
    })

    it('fails when no secret is set for it', () => {
      const chap = makeChap({ mutual: undefined })
      chap.challenge('5')
      expect(() => chap.verify(proof({ response: hex(GOOD), identifier: '1', challenge: '0x0102' }))).toThrow(FAILURE)
    })

    it('fails when both directions have one secret', () => {
      const chap = makeChap({ mutual: { chapName: 'the-target', secret: Buffer.from(SECRET) } })
      chap.challenge('5')
      expect(() => chap.verify(proof({ response: hex(GOOD), identifier: '1', challenge: '0x0102' }))).toThrow(FAILURE)
    })

    it('does not answer a challenge that it sent on another connection', () => {
      const issued = new IssuedChallenges()
      const other = new Chap({ policy: POLICY, randomBytes: (length) => Buffer.alloc(length, 0x77), issued })
      other.challenge('5')
      const chap = makeChap({}, issued)
      chap.challenge('5')
      const answer = proof({ response: hex(GOOD), identifier: '119', challenge: hex(Buffer.alloc(16, 0x77)) })
      expect(() => chap.verify(answer)).toThrow(FAILURE)
    })
  })

  it('puts nothing secret into a message', () => {
    const texts: string[] = []
    const question = { identifier: '1', challenge: '0xfeedface' }
    const policies: Partial<ChapPolicy>[] = [{}, { mutual: undefined }, { mutual: { chapName: 't', secret: SECRET } }]
    for (const policy of policies) {
      for (const text of [hex(GOOD), hex(swapped), 'twelve-chars']) {
        const chap = makeChap(policy)
        chap.challenge('5')
        try {
          chap.verify(proof({ response: text, ...question }))
        } catch (error) {
          texts.push((error as Error).message)
        }
      }
    }
    expect(texts.length).toBeGreaterThan(5)
    for (const text of texts) {
      expect(text).not.toContain('twelve-chars')
      expect(text).not.toContain(GOOD.toString('hex').slice(0, 8))
      expect(text).not.toContain(counted(16).toString('hex').slice(0, 8))
      expect(text).not.toContain('feedface')
    }
  })
})

describe('IssuedChallenges', () => {
  it('remembers the last 4096', () => {
    const issued = new IssuedChallenges()
    const challenge = (n: number): Buffer => {
      const bytes = Buffer.alloc(16)
      bytes.writeUInt32BE(n)
      return bytes
    }
    for (let n = 0; n < 4097; n++) issued.add(challenge(n))
    expect(issued.has(challenge(0))).toBe(false)
    expect(issued.has(challenge(1))).toBe(true)
    expect(issued.has(challenge(4096))).toBe(true)
    expect(issued.has(challenge(4097))).toBe(false)
  })
})
