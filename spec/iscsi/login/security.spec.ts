import { createHash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import type { ChapPolicy } from '../../../lib/iscsi/directory.js'
import { IssuedChallenges } from '../../../lib/iscsi/login/chap.js'
import { SecurityStage } from '../../../lib/iscsi/login/security.js'

const FAILURE: unknown = expect.objectContaining({ status: 0x0201 })
const OPEN: ChapPolicy = { required: false, available: false, initiatorSecret: () => undefined, mutual: undefined }
const OPTIONAL: ChapPolicy = { ...OPEN, available: true, initiatorSecret: () => Buffer.from('twelve-chars') }
const REQUIRED: ChapPolicy = { ...OPTIONAL, required: true }

const zeroes = (length: number): Buffer => Buffer.alloc(length)
const RESPONSE = createHash('md5')
  .update(Buffer.concat([Buffer.of(0), Buffer.from('twelve-chars'), Buffer.alloc(16)]))
  .digest('hex')
const PROOF: [string, string][] = [
  ['CHAP_N', 'alice'],
  ['CHAP_R', `0x${RESPONSE}`]
]

function makeStage(policy: ChapPolicy): SecurityStage {
  return new SecurityStage({ policy, randomBytes: zeroes, issued: new IssuedChallenges() })
}

function say(stage: SecurityStage, ...pairs: [string, string][]): string {
  return stage
    .negotiate(new Map(pairs))
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')
}

describe('SecurityStage', () => {
  it.each([
    ['an open target', OPEN, 'None', 'None'],
    ['an open target', OPEN, 'CHAP,None', 'None'],
    ['an open target', OPEN, 'KRB5,SRP,None', 'None'],
    ['a target with optional CHAP', OPTIONAL, 'None', 'None'],
    ['a target with optional CHAP', OPTIONAL, 'CHAP,None', 'CHAP'],
    ['a target with optional CHAP', OPTIONAL, 'None,CHAP', 'None'],
    ['a target with optional CHAP', OPTIONAL, 'KRB5,CHAP,None', 'CHAP'],
    ['a target with optional CHAP', OPTIONAL, 'CHAP', 'CHAP'],
    ['a target that requires CHAP', REQUIRED, 'CHAP', 'CHAP'],
    ['a target that requires CHAP', REQUIRED, 'None,CHAP', 'CHAP'],
    ['a target that requires CHAP', REQUIRED, 'KRB5,CHAP', 'CHAP']
  ])('of %s (%#) answers the list', (_, policy, list, method) => {
    const stage = makeStage(policy)
    expect(say(stage, ['AuthMethod', list])).toBe(`AuthMethod=${method}`)
    expect(stage.isComplete).toBe(method === 'None')
    expect(stage.chapName).toBeUndefined()
  })

  it.each([
    ['an open target', OPEN, 'CHAP'],
    ['an open target', OPEN, ''],
    ['an open target', OPEN, 'none'],
    ['an open target', OPEN, 'NotUnderstood'],
    ['a target with optional CHAP', OPTIONAL, 'KRB5'],
    ['a target that requires CHAP', REQUIRED, 'None'],
    ['a target that requires CHAP', REQUIRED, 'CHAP,'],
    ['a target that requires CHAP', REQUIRED, 'x'.repeat(8000)]
  ])('of %s refuses the list (%#)', (_, policy, list) => {
    expect(() => say(makeStage(policy), ['AuthMethod', list])).toThrow(FAILURE)
  })

  it('is complete without a word only where CHAP is not required', () => {
    expect([makeStage(OPEN).isComplete, makeStage(OPTIONAL).isComplete]).toEqual([true, true])
    expect([makeStage(REQUIRED).isComplete, makeStage(REQUIRED).waitsForMethod]).toEqual([false, true])
  })

  it('is complete after the proof, not before', () => {
    const stage = makeStage(REQUIRED)
    say(stage, ['AuthMethod', 'CHAP'])
    expect([stage.isComplete, stage.waitsForMethod]).toEqual([false, false])
    expect(say(stage, ['CHAP_A', '5'])).toBe(`CHAP_A=5 CHAP_I=0 CHAP_C=0x${'00'.repeat(16)}`)
    expect(stage.isComplete).toBe(false)
    expect(say(stage)).toBe('')
    expect(stage.isComplete).toBe(false)
    expect(say(stage, ...PROOF)).toBe('')
    expect([stage.isComplete, stage.chapName]).toEqual([true, 'alice'])
  })

  it('takes AuthMethod and CHAP_A in one text', () => {
    const stage = makeStage(REQUIRED)
    expect(say(stage, ['CHAP_A', '5'], ['AuthMethod', 'CHAP'])).toMatch(/^AuthMethod=CHAP CHAP_A=5 /)
  })

  it.each<[string, [string, string][][]]>([
    ['CHAP_A before AuthMethod', [[['CHAP_A', '5']]]],
    ['a proof before AuthMethod', [PROOF]],
    ['a proof before CHAP_A', [[['AuthMethod', 'CHAP']], PROOF]],
    ['a proof with CHAP_A', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5'], ...PROOF]]],
    [
      'a name with CHAP_A',
      [
        [['AuthMethod', 'CHAP']],
        [
          ['CHAP_A', '5'],
          ['CHAP_N', 'alice']
        ]
      ]
    ],
    ['CHAP_A a second time', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5']], [['CHAP_A', '5']]]],
    ['a name without a response', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5']], [['CHAP_N', 'alice']]]],
    ['a proof after the proof', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5']], PROOF, PROOF]],
    ['another method after the proof', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5']], PROOF, [['AuthMethod', 'CHAP']]]],
    ['None in the midst of CHAP', [[['AuthMethod', 'CHAP']], [['CHAP_A', '5']], [['AuthMethod', 'None']]]]
  ])('fails on %s', (_, texts) => {
    const stage = makeStage(REQUIRED)
    const last = texts.pop()!
    for (const text of texts) say(stage, ...text)
    expect(() => say(stage, ...last)).toThrow(FAILURE)
  })

  it('fails on CHAP keys after None was agreed', () => {
    const stage = makeStage(OPTIONAL)
    say(stage, ['AuthMethod', 'None'])
    expect(() => say(stage, ['CHAP_A', '5'])).toThrow(FAILURE)
  })
})
