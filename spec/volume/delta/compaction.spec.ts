import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCompacted, type CompactionSource } from '../../../lib/volume/delta/compaction.js'
import { COPIED, DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { Journal } from '../../../lib/volume/delta/journal.js'
import { BOOT_ID, HEADER, SALT, alteredHeader, copiedRecord, sharedRecord, slotsRecord, zeroRecord } from './golden.js'

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

  it('writes a header that counts the snapshot, the boot, and a record for each run', async () => {
    map.assign(5, 3, 11)
    map.assign(8, 2, ZERO)
    map.assign(600000, 1, 1)
    await writeCompacted(source())
    const bytes = written()
    // Boot and three runs; the tail begins with number 1000.
    expect(bytes.subarray(0, 4096).equals(alteredHeader(92, '00000004' + '000003e8'))).toBe(true)
    expect(bytes.subarray(4096, 4098).toString('hex')).toBe('0404')
    expect(bytes.subarray(4096 + 12, 4096 + 28)).toEqual(BOOT_ID)
    const records = Buffer.concat([slotsRecord(1, 5, 3, 10), zeroRecord(2, 8, 2), slotsRecord(3, 600000, 1, 0)])
    expect(bytes.subarray(4096 + 32).toString('hex')).toBe(records.toString('hex'))
  })

  it('says of slots that they are shared, and of chunks from where in the base they were copied', async () => {
    map.assign(5, 4, 11)
    map.assign(20, 2, 12)
    map.shared.add(11, 2)
    map.assign(30, 3, COPIED + 100)
    await writeCompacted(source())
    const records = [
      slotsRecord(1, 5, 1, 10),
      sharedRecord(2, 6, 2, 11),
      slotsRecord(3, 8, 1, 13),
      sharedRecord(4, 20, 2, 11),
      copiedRecord(5, 30, 3, 100)
    ]
    expect(
      written()
        .subarray(4096 + 32)
        .toString('hex')
    ).toBe(Buffer.concat(records).toString('hex'))
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
      Buffer.concat([slotsRecord(1, 5, 1, 0), ...tail]).toString('hex')
    )
    expect(bytes.subarray(0, 4096).equals(alteredHeader(92, '00000002' + '000003e8'))).toBe(true)
    expect([journal.recordCount, journal.end]).toEqual([5, bytes.length])
    expect(fs.existsSync(join(directory, 'map.new'))).toBe(false)
  })

  it('commits before it looks at each slice, so that it shows nothing that may be undone', async () => {
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
    const stopping = writeCompacted(source({ stopped: () => commits > 1 })).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(stopping).resolves.toBe('ECANCELED')
  })
})
