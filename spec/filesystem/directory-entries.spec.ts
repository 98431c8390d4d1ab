import { describe, expect, it } from '@jest/globals'
import {
  bitmapEntry,
  entrySet,
  entrySetBytes,
  labelEntry,
  upcaseTableEntry
} from '../../lib/filesystem/directory-entries.js'

const at = Date.UTC(2026, 0, 2, 3, 4, 5, 678) + new Date(Date.UTC(2026, 0, 2)).getTimezoneOffset() * 60_000
const TIMES = { createdMs: at, modifiedMs: at, accessedMs: at }

describe('an entry set', () => {
  it('tells of a file: counted by hand, its checksums by another program', () => {
    const set = entrySet({ name: 'A읽b', directory: false, times: TIMES, firstCluster: 9, lengthBytes: 5 })
    // The distance from UTC and with it the checksum hang on the clock of this PC.
    const zone = Buffer.from(set.subarray(22, 25))
    expect(new Set(zone).size).toBe(1)
    set.fill(0, 22, 25)
    set.fill(0, 2, 4)
    expect(set.toString('hex')).toBe(
      [
        '85 02 0000 2000 0000 8218225c 8218225c',
        '8218225c a7 a7 000000 00000000000000',
        'c0 03 00 03 6468 0000 0500000000000000',
        '00000000 09000000 0500000000000000',
        'c1 00 4100 7dc7 6200 0000000000000000',
        '00000000000000000000000000000000'
      ]
        .join('')
        .replace(/ /g, '')
    )
  })

  it('has a checksum over all its bytes but itself (§6.3.3)', () => {
    const set = entrySet({ name: 'x'.repeat(20), directory: true, times: TIMES, firstCluster: 9, lengthBytes: 4096 })
    let sum = 0
    for (const [i, byte] of set.entries()) {
      if (i !== 2 && i !== 3) sum = ((sum & 1 ? 0x8000 : 0) + (sum >> 1) + byte) & 0xffff
    }
    expect(set.readUInt16LE(2)).toBe(sum)
    expect(set[4]).toBe(0x10)
  })

  it.each([
    ['x', 96],
    ['x'.repeat(15), 96],
    ['x'.repeat(16), 128],
    ['x'.repeat(255), 608]
  ])('of %s takes as many entries as the name needs', (name, bytes) => {
    expect(entrySetBytes(name)).toBe(bytes)
    const set = entrySet({ name, directory: false, times: TIMES, firstCluster: 9, lengthBytes: 1 })
    expect(set.length).toBe(bytes)
    expect(set[1]).toBe(bytes / 32 - 1)
    const read = []
    for (let i = 64; i < bytes; i += 32) read.push(set.subarray(i + 2, i + 32).toString('utf16le'))
    expect(read.join('').replace(/\0+$/, '')).toBe(name)
  })

  it('of an empty file has no cluster, and no chain that it could do without', () => {
    const set = entrySet({ name: 'x', directory: false, times: TIMES, firstCluster: 0, lengthBytes: 0 })
    expect(set[33]).toBe(0x01)
    expect(set.readUInt32LE(52)).toBe(0)
    expect(set.readBigUInt64LE(56)).toBe(0n)
  })

  it('of a file beyond 4 GiB has its whole length', () => {
    const set = entrySet({ name: 'x', directory: false, times: TIMES, firstCluster: 9, lengthBytes: 2 ** 40 + 1 })
    expect(set.readBigUInt64LE(40)).toBe(2n ** 40n + 1n)
    expect(set.readBigUInt64LE(56)).toBe(2n ** 40n + 1n)
  })
})

describe('the entries of the root directory', () => {
  it('are those of the specification', () => {
    expect(labelEntry('CLOUD-X').toString('hex')).toBe(`830743004c004f00550044002d005800${'00'.repeat(16)}`)
    expect(bitmapEntry({ firstCluster: 2, lengthBytes: 32 }).toString('hex')).toBe(
      `81${'00'.repeat(19)}020000002000000000000000`
    )
    expect(upcaseTableEntry({ firstCluster: 3, lengthBytes: 5836 }, 0xe619d30d).toString('hex')).toBe(
      `820000000dd319e6${'00'.repeat(12)}03000000cc16000000000000`
    )
  })
})
