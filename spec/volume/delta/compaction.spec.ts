import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCompacted, type CompactionSource } from '../../../lib/volume/delta/compaction.js'
import { COPIED, DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { Journal } from '../../../lib/volume/delta/journal.js'
import { BOOT_ID, HEADER, SALT, alteredHeader, runsRecord, sharedRecord, slotsRecord } from './golden.js'

const SLOTS = 1

describe('a compaction', () => {
  let directory: string
  let old: FileHandle
  let made: FileHandle
  let map: DeltaMap
  let journal: Journal
  let commits: number

  beforeEach(async () => {
    directory = fs.mkdtempSync(join(tmpdir(), 'compaction-'))
    old = await open(join(directory, 'map'), 'w+')
    made = await open(join(directory, 'map.new'), 'w+')
    map = new DeltaMap(3 * (1 << 18))
    // The old journal holds a hundred records, the next has number 1000.
    fs.writeSync(old.fd, Buffer.alloc(4096 + 2400), 0, 6496, 0)
    journal = new Journal(old.fd, 6496, SALT, 1000, 100)
    commits = 0
  })
  afterEach(async () => {
    await old.close()
    await made.close()
    fs.rmSync(directory, { recursive: true })
  })

  function source(more: Partial<CompactionSource> = {}): CompactionSource {
    return {
      handle: made,
      header: HEADER,
      map,
      journal,
      bootId: BOOT_ID,
      commit: () => {
        commits++
        journal.commit()
      },
      stopped: () => false,
      ...more
    }
  }

  function written(): Buffer {
    return fs.readFileSync(join(directory, 'map.new'))
  }

  /** What follows the header and the boot record. */
  function snapshot(): string {
    return written()
      .subarray(4096 + 32)
      .toString('hex')
  }

  it('writes a header that counts the snapshot, the boot, and records of runs', async () => {
    map.assign(5, 3, 11)
    map.assign(8, 2, ZERO)
    map.assign(20, 2, COPIED + 100)
    map.assign(600000, 1, 1)
    await writeCompacted(source())
    const bytes = written()
    // Boot and two records; the tail begins with number 1000.
    expect(bytes.subarray(0, 4096).equals(alteredHeader(92, '00000003' + '000003e8'))).toBe(true)
    expect(bytes.subarray(4096, 4098).toString('hex')).toBe('0404')
    expect(bytes.subarray(4096 + 12, 4096 + 28)).toEqual(BOOT_ID)
    // The last one lies in another slice of the walk.
    const first = runsRecord(1, 5, [3, 11], [2, 0xffffffff], [10, 0], [2, 0x80000000 + 100])
    expect(snapshot()).toBe(Buffer.concat([first, runsRecord(2, 600000, [1, 1])]).toString('hex'))
  })

  it('gives shared slots records of their own', async () => {
    map.assign(5, 4, 11)
    map.assign(20, 2, 12)
    map.shared.add(11, 2)
    await writeCompacted(source())
    const records = [
      runsRecord(1, 5, [1, 11]),
      sharedRecord(2, 6, 2, 11),
      runsRecord(3, 8, [1, 14]),
      sharedRecord(4, 20, 2, 11)
    ]
    expect(snapshot()).toBe(Buffer.concat(records).toString('hex'))
  })

  it('makes one run of what goes on, across leaves of the map, while it has no more than 65535 chunks', async () => {
    map.assign(1000, 65536, 101)
    map.assign(100_000, 65538, ZERO)
    map.assign(170_000, 3000, 0x80000000 + 7)
    await writeCompacted(source())
    const runs: [number, number][] = [
      // 24 chunks to the end of their leaf, and 63 leaves of 1024.
      [64536, 101],
      [1000, 64637],
      [33464, 0],
      // 352 chunks and 63 leaves.
      [64864, 0xffffffff],
      [674, 0xffffffff],
      [4462, 0],
      [3000, 0x80000007]
    ]
    expect(snapshot()).toBe(runsRecord(1, 1000, ...runs).toString('hex'))
  })

  it('begins a record anew behind a gap that no run can be, and when one is full', async () => {
    map.assign(0, 1, 1)
    map.assign(65536, 1, 5)
    map.assign(131_073, 1, 9)
    // Chunks by themselves, each with a gap behind it: two runs a chunk, of which a record has 337.
    for (let i = 0; i < 170; i++) map.assign(200_000 + 2 * i, 1, 1000 + 2 * i)
    await writeCompacted(source())
    const pairs = (from: number, count: number) =>
      Array.from({ length: count }, (_, i): [number, number][] => [
        [1, 1000 + 2 * (from + i)],
        [1, 0]
      ]).flat()
    const records = [
      runsRecord(1, 0, [1, 1], [65535, 0], [1, 5]),
      runsRecord(2, 131_073, [1, 9]),
      runsRecord(3, 200_000, ...pairs(0, 169).slice(0, -1)),
      runsRecord(4, 200_338, [1, 1338])
    ]
    expect(snapshot()).toBe(Buffer.concat(records).toString('hex'))
  })

  it('copies what was committed since the walk began, and takes the place of the old one', async () => {
    map.assign(5, 1, 1)
    const compaction = await writeCompacted(source())
    journal.append(SLOTS, 50, 1, 1)
    journal.commit()
    await compaction.copyTail()
    journal.append(SLOTS, 60, 1, 2)
    journal.commit()
    compaction.finish(join(directory, 'map.new'), join(directory, 'map'))
    journal.append(SLOTS, 70, 1, 3)
    journal.commit()
    const bytes = fs.readFileSync(join(directory, 'map'))
    const tail = [slotsRecord(1000, 50, 1, 1), slotsRecord(1001, 60, 1, 2), slotsRecord(1002, 70, 1, 3)]
    expect(bytes.subarray(4096 + 32).toString('hex')).toBe(
      Buffer.concat([runsRecord(1, 5, [1, 1]), ...tail]).toString('hex')
    )
    expect(bytes.subarray(0, 4096).equals(alteredHeader(92, '00000002' + '000003e8'))).toBe(true)
    expect([journal.recordCount, journal.end]).toEqual([5, bytes.length])
    expect(fs.existsSync(join(directory, 'map.new'))).toBe(false)
  })

  it('commits before it looks at each slice, so that it shows nothing that may be undone', async () => {
    map.assign(5, 1, 1)
    await writeCompacted(source())
    // Once for the start of the tail and once for each of three slices.
    expect(commits).toBe(4)
    const failing = writeCompacted(
      source({
        commit: () => {
          throw Object.assign(new Error('injected'), { code: 'EIO' })
        }
      })
    ).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(failing).resolves.toBe('EIO')
  })

  it('gives up when it is told to', async () => {
    map.assign(5, 1, 1)
    const stopping = writeCompacted(source({ stopped: () => commits > 1 })).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(stopping).resolves.toBe('ECANCELED')
  })
})
