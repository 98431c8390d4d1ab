import {
  closeSync,
  copyFileSync,
  openSync,
  readSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { bootId } from '../../lib/volume/delta/boot-id.js'
import {
  BOOT_RECORD_LENGTH,
  HEADER_LENGTH,
  RECORD,
  RECORD_LENGTH,
  decodeHeader,
  encodeHeader,
  putBootRecord,
  putRecord,
  sealRecord,
  type JournalHeader
} from '../../lib/volume/delta/journal-format.js'
import { TARGET_NAME } from './servers.js'

/** Deltas of many GiB, made in no time: a map that names every chunk, and a slot file of holes. */
export const CHUNK = 4096
export const DISK_BYTES = 2 ** 36
export const CLIENT = 'iqn.2010-04.local:restore'
export const HEADER: JournalHeader = {
  chunkSize: CHUNK,
  base: { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 0, size: DISK_BYTES, mtimeNs: 0n, inode: 0n },
  owner: { target: TARGET_NAME, initiator: CLIENT, lun: 0, chapUser: '' },
  incarnation: 0,
  epoch: 1,
  salt: 0x5a17,
  snapshotRecords: 0,
  firstSequence: 0
}

/** Map and slots of a delta that was written in one piece. */
export function makeTemplate(folder: string, chunks: number): string {
  const path = join(folder, `template-${chunks}.map`)
  const buffer = Buffer.alloc(BOOT_RECORD_LENGTH + RECORD_LENGTH)
  putBootRecord(buffer, 0, Date.now(), 0, bootId())
  const at = sealRecord(buffer, 0, HEADER.salt)
  putRecord(buffer, at, RECORD.slots, 0, 1, chunks, 0)
  sealRecord(buffer, at, HEADER.salt)
  writeFileSync(path, Buffer.concat([encodeHeader(HEADER), buffer]))
  writeFileSync(slotsOf(path), '')
  truncateSync(slotsOf(path), chunks * CHUNK)
  return path
}

/** Puts a large map, and as much room in the slot file, in the place of what the server wrote. */
export function enlarge(map: string, header: JournalHeader, template: string): void {
  const { salt, snapshotRecords, firstSequence } = headerOf(template)
  copyFileSync(template, map)
  const file = openSync(map, 'r+')
  writeSync(file, encodeHeader({ ...header, salt, snapshotRecords, firstSequence }), 0, HEADER_LENGTH, 0)
  closeSync(file)
  truncateSync(slotsOf(map), statSync(slotsOf(template)).size)
}

/** The slot file beside a map. */
export function slotsOf(map: string): string {
  return map.replace(/map$/, 'slots')
}

export function mapsBelow(folder: string): string[] {
  const deltas = join(folder, 'state/deltas')
  return readdirSync(deltas, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.map'))
    .map((name) => join(deltas, name))
}

export function headerOf(map: string): JournalHeader {
  const file = openSync(map, 'r')
  const bytes = Buffer.alloc(HEADER_LENGTH)
  readSync(file, bytes, 0, HEADER_LENGTH, 0)
  closeSync(file)
  return decodeHeader(bytes)
}
