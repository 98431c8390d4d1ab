import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../../lib/util/errors.js'
import { findPair } from '../../../lib/volume/delta/file-pair.js'
import { steps } from '../../support/random.js'
import {
  BOOT_ID,
  HEADER,
  alteredHeader,
  barrierRecord,
  bootRecord,
  goldenHeader,
  runsRecord,
  sessionRecord,
  slotsRecord,
  zeroRecord
} from './golden.js'

/**
 * Every bit of a map file is flipped, one at a time: each field of the header and of every kind of record. Whoever
 * opens it must be refused, told that the content is suspect, or given exactly the map that was there.
 */
const ROOT = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const OTHER_BOOT = Buffer.alloc(16, 0x0f)
const OPTIONS = { name: 'd', base: HEADER.base, owner: HEADER.owner, incarnation: HEADER.incarnation }
/** Bits between two that are flipped in a short run; the full campaign takes each. */
const STRIDE = steps(1) > 1 ? 1 : 97

/** A session that wrote, flushed, wrote again, and is live. */
const LIVE = [
  bootRecord(0),
  sessionRecord(1, 1),
  slotsRecord(2, 10, 3, 0),
  zeroRecord(3, 11, 1),
  barrierRecord(4, 3, 1),
  slotsRecord(5, 20, 1, 3)
]
/** It has ended, and everything was flushed. */
const ENDED = [...LIVE, barrierRecord(6, 5, 4), sessionRecord(7, 0, 6)]

/** The same, compacted before its last write. */
const COMPACTED = [
  bootRecord(0),
  runsRecord(1, 10, [1, 1], [1, 0xffffffff], [1, 3]),
  barrierRecord(4, 3, 1),
  slotsRecord(5, 20, 1, 3)
]
/** Two records of the snapshot, the next one is number 4. */
const COMPACTED_HEADER = alteredHeader(92, '00000002' + '00000004')

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(join(ROOT, 'flips-'))
  fs.writeFileSync(join(directory, 'd-5.slots'), Buffer.alloc(4 * 4096))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

/** The map, `suspect`, or why it was refused. */
async function verdict(file: Buffer, bootId: Buffer): Promise<string> {
  const paths = {
    map: join(directory, 'd-5.map'),
    slots: join(directory, 'd-5.slots'),
    key: join(directory, 'd-5.key')
  }
  fs.writeFileSync(paths.map, file)
  try {
    const { map, files, replay } = await findPair(paths, { ...OPTIONS, directory, bootId })
    await files.map.close()
    await files.slots.handle.close()
    return replay.suspect ? 'suspect' : [10, 11, 12, 20, 21].map((chunk) => map.get(chunk)).join(' ')
  } catch (error) {
    return codeOf(error)
  }
}

describe('a flipped bit', () => {
  it.each([
    ['in the boot that wrote it, while a session is live', goldenHeader(), LIVE, BOOT_ID, false],
    ['in the boot that wrote it, after its sessions have ended', goldenHeader(), ENDED, BOOT_ID, false],
    ['in another boot, after a power cut', goldenHeader(), LIVE, OTHER_BOOT, true],
    ['in another boot, after its sessions have ended', goldenHeader(), ENDED, OTHER_BOOT, true],
    ['in the boot that compacted it', COMPACTED_HEADER, COMPACTED, BOOT_ID, false],
    ['in another boot than that which compacted it', COMPACTED_HEADER, COMPACTED, OTHER_BOOT, true]
  ])('of a map that is opened %s never goes unnoticed', async (_title, header, records, bootId, maySuspect) => {
    const file = Buffer.concat([header, ...records])
    const silent: string[] = []
    let flips = 0
    for (let bit = 0; bit < file.length * 8; bit += bit < 4096 * 8 ? STRIDE : Math.ceil(STRIDE / 4)) {
      const damaged = Buffer.from(file)
      damaged[bit >>> 3]! ^= 1 << (bit & 7)
      const found = await verdict(damaged, bootId)
      if (!found.startsWith('ERR_ISCSI_DELTA_') && !(maySuspect && found === 'suspect')) {
        silent.push(`bit ${bit & 7} of byte ${bit >>> 3}: ${found}`)
      }
      flips++
    }
    expect(silent).toEqual([])
    expect(flips).toBeGreaterThan(300)
  })

  it('is what the verdict comes from: without one the map is there', async () => {
    const whole = await verdict(Buffer.concat([goldenHeader(), ...ENDED]), OTHER_BOOT)
    expect(whole).toBe('1 4294967295 3 4 0')
    expect(await verdict(Buffer.concat([goldenHeader(), ...LIVE]), BOOT_ID)).toBe(whole)
    expect(await verdict(Buffer.concat([goldenHeader(), ...LIVE]), OTHER_BOOT)).toBe('suspect')
    expect(await verdict(Buffer.concat([COMPACTED_HEADER, ...COMPACTED]), BOOT_ID)).toBe(whole)
    expect(await verdict(Buffer.concat([COMPACTED_HEADER, ...COMPACTED]), OTHER_BOOT)).toBe('suspect')
  })
})
