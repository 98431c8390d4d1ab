import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPair, makePair } from '../../../lib/volume/delta/file-pair.js'
import type { DeltaOptions } from '../../../lib/volume/delta/delta-options.js'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BOOT_ID, HEADER, bootRecord, goldenHeader, slotsRecord } from './golden.js'

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'pair-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

const options = (more: Partial<DeltaOptions> = {}): DeltaOptions => ({
  directory,
  name: 'd',
  base: HEADER.base,
  owner: HEADER.owner,
  incarnation: HEADER.incarnation,
  bootId: BOOT_ID,
  ...more
})
const paths = () => deltaPaths(directory, 'd', 5)

/** Files that the format describes: chunk 7 in slot 0. */
function lay(): void {
  fs.writeFileSync(paths().map, Buffer.concat([goldenHeader(), bootRecord(0), slotsRecord(1, 7, 1, 0)]))
  fs.writeFileSync(paths().slots, Buffer.alloc(4096))
}

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'no error', codeOf)
}

describe('the pair of files of an epoch', () => {
  it('is found with its map, and with the slots taken that the map names', async () => {
    lay()
    const { map, allocated, files, header, replay } = await findPair(paths(), options())
    expect([map.get(7), map.chunksMapped, allocated.take(1), header.epoch, replay.recordCount]).toEqual([1, 1, 1, 5, 2])
    await files.map.close()
    await files.slots.handle.close()
  })

  const { base, owner } = HEADER
  it.each<[string, Partial<DeltaOptions>, string]>([
    ['another UUID of the base', { base: { ...base, uuid: base.uuid.replace('00', '01') } }, 'FINGERPRINT'],
    ['another generation', { base: { ...base, generation: 4 } }, 'FINGERPRINT'],
    ['another size', { base: { ...base, size: base.size + 512 } }, 'FINGERPRINT'],
    ['another time of change', { base: { ...base, mtimeNs: base.mtimeNs + 1n } }, 'FINGERPRINT'],
    ['another inode', { base: { ...base, inode: 0x98n } }, 'FINGERPRINT'],
    ['another target', { owner: { ...owner, target: 'iqn.u' } }, 'OWNER'],
    ['another initiator', { owner: { ...owner, initiator: 'iqn.j' } }, 'OWNER'],
    ['another LUN', { owner: { ...owner, lun: 3 } }, 'OWNER'],
    ['another CHAP user', { owner: { ...owner, chapUser: '' } }, 'OWNER']
  ])('is refused to %s, and stays as it is', async (_title, more, code) => {
    lay()
    const before = fs.readFileSync(paths().map)
    expect(await failure(findPair(paths(), options(more)))).toBe(`ERR_ISCSI_DELTA_${code}`)
    expect(fs.readFileSync(paths().map).equals(before)).toBe(true)
  })

  it('stays as it is when two chunks claim one slot, or the slots are gone', async () => {
    lay()
    fs.appendFileSync(paths().map, slotsRecord(2, 9, 1, 0))
    const before = fs.readFileSync(paths().map)
    expect(await failure(findPair(paths(), options()))).toBe('ERR_ISCSI_DELTA_UNREADABLE')
    fs.rmSync(paths().slots)
    expect(await failure(findPair(paths(), options()))).toBe('ERR_ISCSI_DELTA_UNREADABLE')
    expect(fs.readFileSync(paths().map).equals(before)).toBe(true)
  })

  it('leaves nothing when the map cannot be made', async () => {
    fs.mkdirSync(`${paths().map}.new`)
    expect(await failure(makePair(paths(), HEADER, options()))).toBe('EISDIR')
    expect(fs.readdirSync(directory)).toEqual(['d-5.map.new'])
  })
})
