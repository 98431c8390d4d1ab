import { describe, expect, it } from '@jest/globals'
import { hasRightLength, identifierOf, makeRodToken, rodTypeOf } from '../../lib/scsi/rod-token.js'
import { hex, makeNexus, makeUnit } from '../support/scsi.js'

const unit = makeUnit({ blockSize: 4096 })
const nexus = makeNexus([unit])
const make = (byteCount = 5 * 2 ** 32 + 4096) => makeRodToken(0x00800001, unit, nexus, byteCount)

describe('a ROD token (SPC-4 table 112)', () => {
  const token = make()

  it('has 512 bytes: its type, its length, who made it and how many bytes it stands for', () => {
    expect(token).toHaveLength(512)
    expect(token.subarray(0, 8).toString('hex')).toBe(hex('00800001 0000 01f8'))
    // The descriptor of EXTENDED COPY that names the disk, by its NAA.
    expect(token.subarray(16, 48).toString('hex')).toBe(
      hex('e4 00 0000 01 03 00 10 60a1b2c3d4e5f60718293a4b5c6d7e8f 00000000 00001000')
    )
    expect(token.subarray(48, 64).toString('hex')).toBe(hex('0000000000000000 0000000500001000'))
    expect(token.subarray(64, 128).toString('hex')).toBe(hex('00'.repeat(32) + '00001000 00 00 c000' + '00'.repeat(24)))
  })

  it('tells of the disk what READ CAPACITY(16) does', () => {
    const one = makeUnit({ thin: false })
    const bytes = makeRodToken(0x00800001, one, makeNexus([one]), 512)
    expect(bytes.subarray(96, 104).toString('hex')).toBe(hex('00000200 00 03 0000'))
  })

  it('names the target device', () => {
    const name = Buffer.from('iqn.2010-04.local.cloudx:disk')
    expect(token.subarray(128, 132).toString('hex')).toBe('53a80020')
    expect(token.subarray(132, 132 + name.length).equals(name)).toBe(true)
  })

  it('is another each time, in its identifier and in at least 256 bits behind the names', () => {
    const tokens = Array.from({ length: 16 }, () => make())
    expect(new Set(tokens.map(identifierOf)).size).toBe(16)
    expect(new Set(tokens.map((one) => one.subarray(480).toString('hex'))).size).toBe(16)
    // With the longest name that a target can have there is as much of it.
    const long = makeNexus([unit], { targetName: `iqn.2010-04.local.cloudx:${'x'.repeat(198)}` })
    const two = [1, 2].map(() => makeRodToken(0x00800000, unit, long, 1).subarray(480).toString('hex'))
    expect(two[0]).not.toBe(two[1])
  })

  it('does not say which blocks it stands for', () => {
    // Two of the same disk and size differ in nothing but chance.
    const other = make()
    expect(other.subarray(16, 164).equals(token.subarray(16, 164))).toBe(true)
  })

  it('can be asked for its type and length', () => {
    expect([rodTypeOf(token), hasRightLength(token)]).toEqual([0x00800001, true])
    const shorter = Buffer.from(token)
    shorter[7] = 0xf7
    expect(hasRightLength(shorter)).toBe(false)
  })
})
