import { describe, expect, it, jest } from '@jest/globals'
import { MAX_TOKENS, RodToken, findRodToken } from '../../lib/scsi/rod-tokens.js'
import { TOKEN_CANCELLED } from '../../lib/scsi/sense.js'
import { FakeClock } from '../support/fake-clock.js'
import { makeNexus, makeUnit } from '../support/scsi.js'

const RANGES = [
  { offset: 4096, length: 4096 },
  { offset: 65536, length: 8192 }
]

function bench() {
  const clock = new FakeClock()
  const unit = makeUnit({ clock })
  const nexus = makeNexus([unit])
  const create = (timeout = 60, from = nexus, ranges = RANGES) => unit.tokens.create(from, ranges, 0x00800001, timeout)
  const state = (token: RodToken, from = nexus) => {
    const found = findRodToken(token.bytes, from)
    return found instanceof RodToken ? 'valid' : found.name.replace('INVALID TOKEN OPERATION, TOKEN ', '')
  }
  return { clock, unit, nexus, create, state }
}

describe('RodTokens', () => {
  it('finds a token by all of its bytes', () => {
    const { create, nexus, state } = bench()
    const token = create()
    expect(findRodToken(Buffer.from(token.bytes), nexus)).toBe(token)
    expect(token.byteCount).toBe(12288)
    // One bit off, in what is random and in what anybody could guess.
    for (const at of [15, 130, 200, 511]) {
      const forged = Buffer.from(token.bytes)
      forged[at]! ^= 1
      expect(findRodToken(forged, nexus)).toMatchObject({ asc: 0x23, ascq: at === 15 ? 0x04 : 0x05 })
    }
    expect(state(token)).toBe('valid')
  })

  it('knows no token of another initiator, not even on a unit that both see', () => {
    const { create, unit, state } = bench()
    const token = create()
    expect(state(token, makeNexus([unit], { initiatorName: 'iqn.1991-05.com.microsoft:pc-08' }))).toBe('UNKNOWN')
    // The same initiator on another path to the unit does know it, and not where it does not see the unit.
    expect(state(token, makeNexus([unit], { isid: '400001370001' }))).toBe('valid')
    expect(state(token, makeNexus([makeUnit()]))).toBe('UNKNOWN')
  })

  it.each([
    ['its first byte', 4096, 1, 'CANCELLED'],
    ['its last byte', 65536 + 8191, 1, 'CANCELLED'],
    ['a range around it', 0, 131072, 'CANCELLED'],
    ['what is before it', 0, 4096, 'valid'],
    ['what is between its ranges', 8192, 65536 - 8192, 'valid'],
    ['what is behind it', 65536 + 8192, 4096, 'valid'],
    ['nothing', 4096, 0, 'valid']
  ])('of which a change of %s leaves the token', (_what, offset, length, expected) => {
    const { unit, create, state } = bench()
    const token = create()
    unit.volume.tryWrite(Buffer.alloc(length), 0, length, offset)
    expect(state(token)).toBe(expected)
  })

  it('expires after its time without use, which every use begins anew', () => {
    const { clock, create, state } = bench()
    const token = create(10)
    clock.advance(9_000)
    expect(state(token)).toBe('valid')
    token.beginUse()
    clock.advance(60_000)
    // Never in the middle of a use.
    expect(state(token)).toBe('valid')
    token.endUse()
    clock.advance(10_000)
    expect(state(token)).toBe('valid')
    clock.advance(1)
    expect(state(token)).toBe('EXPIRED')
  })

  it('costs writes nothing once it is not valid any more', () => {
    const { clock, unit, create, state } = bench()
    const compared = jest.spyOn(RodToken.prototype, 'overlaps')
    const write = () => {
      compared.mockClear()
      unit.volume.tryWrite(Buffer.alloc(512), 0, 512, 0)
      return compared.mock.calls.length
    }
    try {
      const [cancelled, short, used, long] = [create(60), create(10), create(10), create(60)]
      expect(write()).toBe(4)
      cancelled.cancel()
      used.beginUse()
      clock.advance(11_000)
      expect([write(), state(short), state(used)]).toEqual([2, 'EXPIRED', 'valid'])
      used.endUse()
      long.delete()
      expect(write()).toBe(1)
      clock.advance(11_000)
      expect([write(), write()]).toEqual([0, 0])
      // The next one is watched again.
      create()
      expect(write()).toBe(1)
    } finally {
      compared.mockRestore()
    }
  })

  it('tells of changes of ranges that are watched, with and without a token, for as long as they are', () => {
    const { unit, create } = bench()
    const { tokens, volume } = unit
    const write = (offset: number) => volume.tryWrite(Buffer.alloc(512), 0, 512, offset)
    const [watched, nothing] = [tokens.watch([{ offset: 8192, length: 512 }]), tokens.watch([])]
    write(0)
    expect(watched.fault).toBeUndefined()
    create().cancel()
    write(8192)
    expect([watched.fault, nothing.fault]).toEqual([TOKEN_CANCELLED, undefined])
    tokens.unwatch(watched)
    const [late, ended] = [tokens.watch(RANGES), tokens.watch(RANGES)]
    tokens.unwatch(ended)
    tokens.cancelAll()
    expect([late.fault, ended.fault]).toEqual([TOKEN_CANCELLED, undefined])
  })

  it('tells why a token is not valid any more, the first reason', () => {
    const { unit, create, state } = bench()
    const token = create()
    token.delete()
    unit.tokens.cancelAll()
    expect(state(token)).toBe('DELETED')
  })

  it('falls with a reset of the unit and with a commit that failed', () => {
    const { unit, create, state } = bench()
    const first = create()
    unit.reset()
    const second = create()
    unit.commitFailed(new Error('no room'))
    expect([state(first), state(second)]).toEqual(['CANCELLED', 'CANCELLED'])
  })

  it('is gone with the nexus that asked for it', () => {
    const { unit, nexus, create, state } = bench()
    const other = makeNexus([unit], { isid: '400001370001' })
    const [token, kept] = [create(), create(60, other)]
    nexus.end()
    expect([state(token, other), state(kept, other), unit.tokens.count]).toEqual(['UNKNOWN', 'valid', 1])
  })

  it(`keeps ${MAX_TOKENS} for a nexus: invalid ones make room first, then the oldest`, () => {
    const { unit, create, state } = bench()
    const other = makeNexus([unit], { isid: '400001370001' })
    const others = create(60, other)
    const tokens = Array.from({ length: MAX_TOKENS }, () => create())
    tokens[5]!.delete()
    create()
    expect([state(tokens[5]!), state(tokens[0]!), unit.tokens.count]).toEqual(['UNKNOWN', 'valid', MAX_TOKENS + 1])
    create()
    expect([state(tokens[0]!), state(tokens[1]!), state(others)]).toEqual(['UNKNOWN', 'valid', 'valid'])
  })

  it('stops a use of a token that makes room for another', () => {
    const { create } = bench()
    const token = create()
    token.beginUse()
    for (let count = 0; count < MAX_TOKENS; count++) create()
    expect(token.fault).toMatchObject({ ascq: 0x08 })
  })
})
