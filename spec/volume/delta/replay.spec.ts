import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BASE, COPIED, DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { claimSlots, replayJournal, type Replay } from '../../../lib/volume/delta/replay.js'
import { Slots } from '../../../lib/volume/delta/slots.js'
import {
  BOOT_ID,
  HEADER,
  barrierRecord,
  baseRecord,
  bootRecord,
  copiedRecord,
  goldenHeader,
  record,
  runsRecord,
  sessionRecord,
  sharedRecord,
  slotsRecord,
  zeroRecord
} from './golden.js'

const OTHER_BOOT = Buffer.alloc(16, 0x0f)
const CHUNKS = 256

let path: string

beforeEach(() => {
  path = join(fs.mkdtempSync(join(tmpdir(), 'replay-')), 'map')
})
afterEach(() => fs.rmSync(join(path, '..'), { recursive: true }))

interface Found {
  entries: number[]
  replay: Replay
}

async function mapAfter(records: Buffer[]): Promise<DeltaMap> {
  fs.writeFileSync(path, Buffer.concat([goldenHeader(), ...records]))
  const file = await open(path, 'r')
  try {
    return (await replayJournal(file, HEADER, BOOT_ID, () => new DeltaMap(CHUNKS))).map
  } finally {
    await file.close()
  }
}

async function replay(records: Buffer[], boot: Buffer = BOOT_ID, header: Partial<typeof HEADER> = {}): Promise<Found> {
  fs.writeFileSync(path, Buffer.concat([goldenHeader(), ...records]))
  const file = await open(path, 'r')
  try {
    const { map, replay } = await replayJournal(file, { ...HEADER, ...header }, boot, () => new DeltaMap(CHUNKS))
    return { entries: Array.from({ length: CHUNKS }, (_, chunk) => map.get(chunk)), replay }
  } finally {
    await file.close()
  }
}

function mapOf(entries: Record<number, number>): number[] {
  return Array.from({ length: CHUNKS }, (_, chunk) => entries[chunk] ?? BASE)
}

/** Boot, three slots, a zero over the middle, a barrier, one more slot, the third chunk back to the base. */
const HISTORY = [
  bootRecord(0),
  slotsRecord(1, 10, 3, 0),
  zeroRecord(2, 11, 1),
  barrierRecord(3, 2),
  slotsRecord(4, 20, 1, 3),
  baseRecord(5, 12, 1)
]
const ENDS = HISTORY.map((_, i) => 4096 + HISTORY.slice(0, i + 1).reduce((sum, bytes) => sum + bytes.length, 0))

describe('the replay of a journal', () => {
  it('gives the map after the last record, in the boot that wrote it', async () => {
    const { entries, replay: found } = await replay(HISTORY)
    expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO, 20: 4 }))
    expect(found).toEqual({
      end: 4096 + 32 + 5 * 24,
      snapshotEnd: 4096,
      nextSequence: 6,
      recordCount: 6,
      otherBoot: false,
      untrusted: false,
      suspect: false,
      recordsDropped: 0,
      tornBytes: 0
    })
  })

  it('gives only what the last barrier covers, in another boot', async () => {
    const { entries, replay: found } = await replay(HISTORY, OTHER_BOOT)
    expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO, 12: 3 }))
    expect(found).toMatchObject({ end: ENDS[2], nextSequence: 3, otherBoot: true, recordsDropped: 2 })
  })

  it('does not count records that were written while the barrier was on its way', async () => {
    const late = [bootRecord(0), slotsRecord(1, 10, 1, 0), slotsRecord(2, 11, 1, 1), barrierRecord(3, 1)]
    const { entries } = await replay(late, OTHER_BOOT)
    expect(entries).toEqual(mapOf({ 10: 1 }))
  })

  it('gives nothing in another boot when nothing was ever flushed', async () => {
    const { entries, replay: found } = await replay([bootRecord(0), slotsRecord(1, 10, 1, 0)], OTHER_BOOT)
    expect(entries).toEqual(mapOf({}))
    expect(found.recordsDropped).toBe(1)
  })

  it('believes the last boot record', async () => {
    const { replay: found } = await replay(
      [bootRecord(0), slotsRecord(1, 1, 1, 0), bootRecord(2, OTHER_BOOT)],
      OTHER_BOOT
    )
    expect(found).toMatchObject({ otherBoot: false, recordsDropped: 0 })
  })

  it('ends before a record that was cut, at every byte', async () => {
    const whole = Buffer.concat(HISTORY)
    for (let length = 32; length <= whole.length; length++) {
      const { replay: found } = await replay([whole.subarray(0, length)])
      const intact = ENDS.filter((end) => end <= 4096 + length)
      expect(found).toMatchObject({ end: intact.at(-1), recordCount: intact.length })
      expect(found.tornBytes).toBe(4096 + length - intact.at(-1)!)
    }
  })

  it('refuses a damaged record, whichever and whatever bit it is', async () => {
    for (let i = 0; i < HISTORY.length; i++) {
      for (let bit = 0; bit < HISTORY[i]!.length * 8; bit += 5) {
        const records = HISTORY.map((bytes, n) => (n === i ? flipped(bytes, bit) : bytes))
        await expect(codeOfReplay(records)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
      }
    }
  })

  it('refuses a map without its first record, which was on the medium before the file had its name', async () => {
    await expect(codeOfReplay([])).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    await expect(codeOfReplay([flipped(HISTORY[0]!, 9)], OTHER_BOOT)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
  })

  it('refuses damage in another boot to what had been on the medium, and takes the rest for the power cut', async () => {
    /** The second barrier says that the medium had the records up to number 3. */
    const synced = [...HISTORY, barrierRecord(6, 5, 3)]
    for (let i = 0; i <= 3; i++) {
      const damaged = synced.map((bytes, n) => (n === i ? flipped(bytes, 100) : bytes))
      await expect(codeOfReplay(damaged, OTHER_BOOT)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    }
    // Written in one go with the barrier that follows, and the barrier alone got to the medium.
    for (const i of [4, 5]) {
      const behind = synced.map((bytes, n) => (n === i ? Buffer.alloc(24) : bytes))
      const { entries, replay: found } = await replay(behind, OTHER_BOOT)
      expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO, 12: 3 }))
      expect(found).toMatchObject({ suspect: true, untrusted: true })
    }
  })

  it('takes a mark of a session for a witness as well', async () => {
    const ended = [...HISTORY.slice(0, 4), sessionRecord(4, 0, 3)]
    for (let i = 0; i <= 3; i++) {
      const damaged = ended.map((bytes, n) => (n === i ? flipped(bytes, 3) : bytes))
      await expect(codeOfReplay(damaged, OTHER_BOOT)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    }
  })

  describe('is suspect', () => {
    const flushed = HISTORY.slice(0, 4)
    it.each<[string, Buffer[], Buffer, boolean]>([
      ['after a power cut while a session was live', [...flushed, sessionRecord(4, 1, 3)], OTHER_BOOT, true],
      ['after a power cut when no mark was ever made', flushed, OTHER_BOOT, true],
      ['as long as nobody has accepted it, in the same boot too', [...flushed, sessionRecord(4, 3, 3)], BOOT_ID, true],
      ['after a sync that failed, in the same boot too', [...flushed, sessionRecord(4, 2, 3)], BOOT_ID, true],
      [
        'not when all sessions had ended',
        [...flushed, sessionRecord(4, 1, 3), sessionRecord(5, 0, 3)],
        OTHER_BOOT,
        false
      ],
      ['not when the process died', [...flushed, sessionRecord(4, 1, 3)], BOOT_ID, false]
    ])('%s', async (_title, records, boot, suspect) => {
      expect((await replay(records, boot)).replay.suspect).toBe(suspect)
    })

    it('and counts no more than the barriers after a sync that failed', async () => {
      const { entries, replay: found } = await replay([...HISTORY, sessionRecord(6, 2, 3)])
      expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO, 12: 3 }))
      expect(found).toMatchObject({ otherBoot: false, untrusted: true, recordsDropped: 2 })
    })
  })

  it('finds a record again that follows damage at the end of a block of a megabyte', async () => {
    const many = Array.from({ length: 44000 }, (_, i) => slotsRecord(i, i % CHUNKS, 1, i))
    many[0] = bootRecord(0)
    const { replay: found } = await replay(many)
    expect(found.recordCount).toBe(44000)
    many[43689] = flipped(many[43689]!, 3)
    await expect(codeOfReplay(many)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
  })

  it.each([
    ['a record that is missing', [bootRecord(0), slotsRecord(2, 1, 1, 0)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['a record that comes twice', [bootRecord(0), bootRecord(0)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['a chunk behind the disk', [bootRecord(0), slotsRecord(1, 255, 2, 0)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['zeroes behind the disk', [bootRecord(0), zeroRecord(1, 256, 1)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['chunks of the base behind its end', [bootRecord(0), copiedRecord(1, 0, 2, 255)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['shared slots for chunks behind it', [bootRecord(0), sharedRecord(1, 255, 2, 0)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['a run of no chunks', [bootRecord(0), runsRecord(1, 0, [1, 1], [0, 9])], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['a run behind the disk', [bootRecord(0), runsRecord(1, 250, [3, 1], [4, 9])], 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['a gap behind the disk', [bootRecord(0), runsRecord(1, 250, [3, 1], [4, 0])], 'ERR_ISCSI_DELTA_UNREADABLE'],
    [
      'a run of slots that go on as a copy',
      [bootRecord(0), runsRecord(1, 0, [2, 0x7ffffffe])],
      'ERR_ISCSI_DELTA_UNREADABLE'
    ],
    [
      'a run of the base behind its end',
      [bootRecord(0), runsRecord(1, 0, [2, 0x80000000 + 255])],
      'ERR_ISCSI_DELTA_UNREADABLE'
    ],
    ['a slot that no file can have', [bootRecord(0), slotsRecord(1, 0, 1, 0xfffffffe)], 'ERR_ISCSI_DELTA_UNREADABLE'],
    [
      'a record of a type that it must know',
      [bootRecord(0), record('0a 02 000000000000 00000001')],
      'ERR_ISCSI_DELTA_VERSION'
    ]
  ])('refuses %s', async (_title, records, code) => {
    await expect(codeOfReplay(records)).resolves.toBe(code)
  })

  it('reads chunks that were copied: in shared slots, or named as others of the base', async () => {
    const { entries } = await replay([
      bootRecord(0),
      slotsRecord(1, 10, 3, 0),
      sharedRecord(2, 20, 2, 1),
      copiedRecord(3, 30, 3, 200)
    ])
    const copied = { 30: COPIED + 200, 31: COPIED + 201, 32: COPIED + 202 }
    expect(entries).toEqual(mapOf({ 10: 1, 11: 2, 12: 3, 20: 2, 21: 3, ...copied }))
  })

  it('reads runs: slots, zeroes, copies of the base, and gaps of which nothing is said', async () => {
    const { entries } = await replay([
      bootRecord(0),
      slotsRecord(1, 10, 8, 50),
      runsRecord(2, 8, [3, 1], [2, 0], [2, 0xffffffff], [2, 0x80000000 + 254])
    ])
    const slots = { 8: 1, 9: 2, 10: 3, 11: 52, 12: 53, 17: 58 }
    expect(entries).toEqual(mapOf({ ...slots, 13: ZERO, 14: ZERO, 15: COPIED + 254, 16: COPIED + 255 }))
  })

  it('takes a shared slot that a run names for one of its own again', async () => {
    const map = await mapAfter([bootRecord(0), sharedRecord(1, 10, 2, 5), runsRecord(2, 10, [1, 6])])
    expect([map.shared.has(5), map.shared.has(6)]).toEqual([false, true])
  })

  it('steps over a record that is only advice', async () => {
    const advice = record('81 03 000000000000 00000001 00000001 00000002')
    const { entries } = await replay([bootRecord(0), advice, slotsRecord(2, 1, 1, 0)])
    expect(entries).toEqual(mapOf({ 1: 1 }))
  })

  describe('after a compaction', () => {
    const header = { snapshotRecords: 2, firstSequence: 0xfffffffe }
    const compacted = [
      bootRecord(0),
      runsRecord(1, 10, [2, 1]),
      zeroRecord(0xfffffffe, 11, 1),
      barrierRecord(0xffffffff, 0xfffffffe),
      slotsRecord(0, 20, 1, 1)
    ]

    it('goes on with the numbers of the tail, over their end', async () => {
      const { entries, replay: found } = await replay(compacted, BOOT_ID, header)
      expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO, 20: 2 }))
      expect(found).toMatchObject({ nextSequence: 1, recordCount: 5, snapshotEnd: 4096 + 32 + 24 })
    })

    it('is not taken for one that was cut short, where only a snapshot can end', async () => {
      for (let length = 1; length < 24; length++) {
        const cut = [bootRecord(0), runsRecord(1, 10, [2, 1]).subarray(0, length)]
        await expect(codeOfReplay(cut, BOOT_ID, header)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
        await expect(codeOfReplay(cut)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
      }
    })

    it('counts up to the barrier in another boot', async () => {
      const { entries } = await replay(compacted, OTHER_BOOT, header)
      expect(entries).toEqual(mapOf({ 10: 1, 11: ZERO }))
    })

    it('refuses one that ends in its snapshot, or in another boot before its barrier', async () => {
      await expect(codeOfReplay(compacted.slice(0, 1), BOOT_ID, header)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
      await expect(codeOfReplay(compacted.slice(0, 3), OTHER_BOOT, header)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    })

    it('does not let a barrier from before the compaction speak for the snapshot', async () => {
      const records = [bootRecord(0), slotsRecord(1, 10, 2, 0), barrierRecord(0xfffffffe, 0xfffffff0)]
      await expect(codeOfReplay(records, OTHER_BOOT, header)).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    })
  })
})

describe('a record of very many chunks', () => {
  const chunks = 1 << 20
  const many = 600_001
  const replayLarge = async (records: Buffer[]) => {
    fs.writeFileSync(path, Buffer.concat([goldenHeader(), ...records]))
    const file = await open(path, 'r')
    try {
      return await replayJournal(file, HEADER, BOOT_ID, () => new DeltaMap(chunks))
    } finally {
      await file.close()
    }
  }

  it('is applied to all of them, and to no other', async () => {
    const { map, replay: found } = await replayLarge([
      bootRecord(0),
      slotsRecord(1, 7, many, 11),
      zeroRecord(2, 100_000, 400_000),
      baseRecord(3, 200_000, 200_000)
    ])
    expect(found.recordCount).toBe(4)
    const runs = [0, 7, 100_000, 200_000, 400_000, 500_000, 7 + many].map((chunk) => [
      map.run(chunk, chunks - chunk),
      map.entry
    ])
    expect(runs).toEqual([
      [7, BASE],
      [100_000 - 7, 12],
      [100_000, ZERO],
      [200_000, BASE],
      [100_000, ZERO],
      [100_007 + 1, 12 + 500_000 - 7],
      [chunks - many - 7, BASE]
    ])
    expect(map.chunksMapped).toBe(many - 400_000)
  })

  it.each([
    ['chunks behind the end of the disk', slotsRecord(1, chunks - 70_000, 70_001, 0)],
    ['slots that no file can have', slotsRecord(1, 0, 70_000, 0xfffffffe - 69_999)]
  ])('makes the delta unreadable when it names %s', async (_what, bad) => {
    await expect(replayLarge([bootRecord(0), bad])).rejects.toMatchObject({ code: 'ERR_ISCSI_DELTA_UNREADABLE' })
  })

  it('has its slots taken, and room for no second chunk in any of them', async () => {
    const map = new DeltaMap(chunks)
    map.assign(5, many, 1)
    const slots = new Slots()
    const claim = () => claimSlots(map, 4096, chunks * 4096, many * 4096, slots)
    await claim()
    expect([slots.usedCount, slots.highWater]).toEqual([many, many])
    await expect(claim()).rejects.toThrow(/two chunks/)
  })
})

describe('the slots of a replayed map', () => {
  const claim = (map: DeltaMap, slotFileSize: number, baseSize = CHUNKS * 4096): Promise<void> => {
    const slots = new Slots()
    return claimSlots(map, 4096, baseSize, slotFileSize, slots)
  }

  it('may not belong to two chunks', async () => {
    const map = new DeltaMap(CHUNKS)
    map.assign(0, 3, 1)
    map.assign(9, 1, 3)
    await expect(claim(map, 1 << 20)).rejects.toThrow(/two chunks/)
  })

  it('may belong to several when the journal calls them shared, and count once', async () => {
    const map = new DeltaMap(CHUNKS)
    map.assign(0, 3, 1)
    map.assign(9, 2, 2)
    map.assign(20, 1, 3)
    map.shared.mark(1, 2)
    const slots = new Slots()
    await claimSlots(map, 4096, CHUNKS * 4096, 1 << 20, slots)
    expect([slots.usedCount, slots.highWater]).toEqual([3, 3])
    map.assign(30, 1, 1)
    await expect(claim(map, 1 << 20)).rejects.toThrow(/two chunks/)
  })

  it('may not lie behind the end of their file', async () => {
    const map = new DeltaMap(CHUNKS)
    map.assign(0, 3, 1)
    await expect(claim(map, 3 * 4096)).resolves.toBeUndefined()
    await expect(claim(map, 3 * 4096 - 1)).rejects.toThrow(/end of the slot file/)
  })

  it('may be short for the last chunk of a disk that ends inside it', async () => {
    const map = new DeltaMap(CHUNKS)
    map.assign(CHUNKS - 1, 1, 1)
    await expect(claim(map, 512, CHUNKS * 4096 - 3584)).resolves.toBeUndefined()
    await expect(claim(map, 511, CHUNKS * 4096 - 3584)).rejects.toThrow(/end of the slot file/)
  })
})

async function codeOfReplay(records: Buffer[], boot = BOOT_ID, header: Partial<typeof HEADER> = {}): Promise<unknown> {
  return replay(records, boot, header).then(
    () => 'no error',
    (error: { code: string }) => error.code
  )
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}
