import { clipped } from './fat.js'
import type { PagedSource } from './source.js'
import {
  addExtent,
  DEPTH_MAX,
  gather,
  isName,
  type FileExtent,
  type FileSystemReader,
  type FoundFile
} from './source.js'

/**
 * NTFS 3.1, as the documentation of the Linux drivers describes it: a table of records (MFT), each a file with its
 * attributes; names hold the number of the record that is their directory, so no directory has to be read.
 */
const ATTRIBUTE_LIST = 0x20
const FILE_NAME = 0x30
const DATA = 0x80
const INDEX_ALLOCATION = 0xa0
const END = 0xffffffff
const IN_USE = 0x01
const IS_DIRECTORY = 0x02
const COMPRESSED = 0x0001
const ENCRYPTED = 0x4000
/** A second name of eight and three letters, which MS-DOS knew. */
const NAMESPACE_DOS = 2
const ROOT_RECORD = 5
/** Records below are the file system's own, the root apart. */
const FIRST_FILE_RECORD = 16
const RECORD_BYTES_MAX = 65536
/** Every 512 bytes of a record end with two bytes that are kept elsewhere. */
const FIXUP_STRIDE = 512
const REFERENCE_LIMIT = 2 ** 48
/** Names that are remembered, to put paths together. */
const RECORD_COUNT_MAX = 8 * 2 ** 20

interface Shape {
  readonly clusterBytes: number
  readonly recordBytes: number
  readonly tableOffset: number
}

/** The volume when the source begins with one, else undefined. */
export async function openNtfs(source: PagedSource, boot: Buffer): Promise<FileSystemReader | undefined> {
  if (boot.length < 512 || boot.toString('latin1', 3, 11) !== 'NTFS    ') return undefined
  const sector = boot.readUInt16LE(11)
  const perCluster = boot[13]! > 0x80 ? 2 ** (256 - boot[13]!) : boot[13]!
  const clusterBytes = sector * perCluster
  const size = boot.readInt8(64)
  const recordBytes = size < 0 ? 2 ** -size : size * clusterBytes
  if (
    sector < 256 ||
    sector > 4096 ||
    clusterBytes === 0 ||
    recordBytes < FIXUP_STRIDE ||
    recordBytes > RECORD_BYTES_MAX
  ) {
    return undefined
  }
  const shape = { clusterBytes, recordBytes, tableOffset: Number(boot.readBigUInt64LE(48)) * clusterBytes }
  const reader = new NtfsReader(source, shape)
  return (await reader.open()) ? reader : undefined
}

interface MftRecord {
  readonly number: number
  /** In the source. */
  readonly offset: number
  readonly bytes: Buffer
  readonly directory: boolean
  /** The record that this one goes on; 0 = none. */
  readonly base: number
}

interface Attribute {
  readonly type: number
  readonly name: string
  /** Where it begins in its record. */
  readonly at: number
  readonly resident: boolean
  readonly flags: number
  readonly bytes: Buffer
}

interface Name {
  readonly parent: number
  readonly name: string
}

class NtfsReader implements FileSystemReader {
  readonly kind = 'NTFS'
  readonly notes: readonly string[] = []
  private table: readonly FileExtent[] = []
  private recordCount = 0
  private readonly names = new Map<number, Name>()

  constructor(
    private readonly source: PagedSource,
    private readonly shape: Shape
  ) {}

  /** @returns false when there is no table where the boot sector says */
  async open(): Promise<boolean> {
    const { recordBytes, tableOffset } = this.shape
    // The first record is that of the table itself, which says where the others are.
    this.table = [{ at: 0, offset: tableOffset, lengthBytes: recordBytes }]
    this.recordCount = 1
    const first = await this.record(0)
    if (!first) return false
    const own = await this.contentOf(first, DATA)
    if (!own || own.lengthBytes < recordBytes) return false
    // Pieces that other records tell of are found through those that this one tells of.
    this.table = own.extents
    this.recordCount = Math.min(RECORD_COUNT_MAX, Math.floor(own.lengthBytes / recordBytes))
    const whole = await this.contentOf(first, DATA)
    if (whole) this.table = whole.extents
    return true
  }

  async *files(): AsyncGenerator<FoundFile> {
    this.names.clear()
    for (let number = 0; number < this.recordCount; number++) {
      const record = await this.record(number)
      const name = record && (await this.nameOf(record))
      if (name) this.names.set(number, name)
    }
    for (const number of this.names.keys()) {
      if (number < FIRST_FILE_RECORD && number !== ROOT_RECORD) continue
      const record = await this.record(number)
      const path = this.pathOf(number)
      if (record && path !== undefined && path !== '/') yield* this.fileOf(record, path)
    }
  }

  private async *fileOf(record: MftRecord, path: string): AsyncGenerator<FoundFile> {
    if (record.directory) {
      const index = await this.contentOf(record, INDEX_ALLOCATION, '$I30')
      const extents = index?.extents ?? [{ at: 0, offset: record.offset, lengthBytes: this.shape.recordBytes }]
      yield { path, directory: true, lengthBytes: index?.lengthBytes ?? 0, extents }
      return
    }
    for (const stream of await this.streamsOf(record)) {
      const content = await this.contentOf(record, DATA, stream)
      if (content) yield { path: stream === '' ? path : `${path}:${stream}`, directory: false, ...content }
    }
  }

  /** The unnamed one first; a file without any has no content. */
  private async streamsOf(record: MftRecord): Promise<string[]> {
    const found = (await this.attributesOf(record)).filter(({ attribute }) => attribute.type === DATA)
    return [...new Set(found.map(({ attribute }) => attribute.name))].sort()
  }

  private pathOf(number: number): string | undefined {
    const names: string[] = []
    for (let at = number; at !== ROOT_RECORD; at = this.names.get(at)!.parent) {
      const known = this.names.get(at)
      if (!known || names.length > DEPTH_MAX) return undefined
      // What the file system keeps for itself lies below directories such as $Extend.
      if (at < FIRST_FILE_RECORD) return undefined
      names.unshift(known.name)
    }
    return `/${names.join('/')}`
  }

  /** Undefined for a record that is free, damaged, or the rest of another. */
  private async nameOf(record: MftRecord): Promise<Name | undefined> {
    if (record.base !== 0) return undefined
    const names = (await this.attributesOf(record))
      .map(({ attribute }) => attribute)
      .filter(({ type, resident }) => type === FILE_NAME && resident)
      .map(({ bytes }) => valueOf(bytes))
      .filter((value) => value.length >= 66 && value.length >= 66 + value[64]! * 2)
    const value = names.find((one) => one[65] !== NAMESPACE_DOS) ?? names[0]
    if (!value) return undefined
    const name = value.toString('utf16le', 66, 66 + value[64]! * 2)
    const parent = Number(value.readBigUInt64LE(0) % BigInt(REFERENCE_LIMIT))
    return record.number === ROOT_RECORD || isName(name) ? { parent, name } : undefined
  }

  /** Its own attributes, and those that its list says lie in other records. */
  private async attributesOf(record: MftRecord): Promise<{ record: MftRecord; attribute: Attribute }[]> {
    const own = attributesIn(record.bytes)
    const list = own.find(({ type }) => type === ATTRIBUTE_LIST)
    const found = own.map((attribute) => ({ record, attribute }))
    if (!list) return found
    for (const number of recordsIn(await this.bytesOf(list), record.number)) {
      const other = await this.record(number)
      if (!other || other.base !== record.number) continue
      for (const attribute of attributesIn(other.bytes)) found.push({ record: other, attribute })
    }
    return found
  }

  private async bytesOf(attribute: Attribute): Promise<Buffer> {
    if (attribute.resident) return valueOf(attribute.bytes)
    const { extents, lengthBytes } = this.runsOf([{ attribute }])
    return gather(this.source, extents, lengthBytes)
  }

  private async contentOf(record: MftRecord, type: number, name = '') {
    const parts = (await this.attributesOf(record)).filter(
      ({ attribute }) => attribute.type === type && attribute.name === name
    )
    const [first] = parts
    if (!first) return undefined
    const { attribute } = first
    if (!attribute.resident) return this.runsOf(parts)
    const at = attribute.bytes.readUInt16LE(20)
    const lengthBytes = valueOf(attribute.bytes).length
    // The last two bytes of each stride are elsewhere, so that a value which crosses one is not read from where it lies.
    const start = attribute.at + at
    const crosses = Math.floor(start / FIXUP_STRIDE) !== Math.floor((start + lengthBytes + 1) / FIXUP_STRIDE)
    const extents = lengthBytes === 0 ? [] : [{ at: 0, offset: first.record.offset + start, lengthBytes }]
    return { extents, lengthBytes, ...(crosses && { inline: valueOf(attribute.bytes) }) }
  }

  /** The runs of all parts of a non-resident attribute; its lengths stand in the part that begins it. */
  private runsOf(parts: readonly { readonly attribute: Attribute }[]) {
    const extents: FileExtent[] = []
    let lengthBytes = 0
    let initializedBytes = 0
    let unreadable: string | undefined
    for (const { attribute } of parts) {
      const { bytes, resident, flags } = attribute
      if (resident || bytes.length < 64) continue
      const firstCluster = Number(bytes.readBigUInt64LE(16))
      if (firstCluster === 0) {
        lengthBytes = Number(bytes.readBigUInt64LE(48))
        initializedBytes = Number(bytes.readBigUInt64LE(56))
      }
      if ((flags & COMPRESSED) !== 0) unreadable = 'it is compressed by its file system'
      if ((flags & ENCRYPTED) !== 0) unreadable = 'it is encrypted by its file system'
      this.addRuns(extents, bytes.subarray(bytes.readUInt16LE(32)), firstCluster)
    }
    extents.sort((left, right) => left.at - right.at)
    // What was never written behind the initialized length reads as zeroes.
    const own = clipped(extents, Math.min(lengthBytes, initializedBytes))
    return { extents: own, lengthBytes, ...(unreadable !== undefined && { unreadable }) }
  }

  /** Pairs of length and distance, each as long as the byte before them says; without a distance it is a hole. */
  private addRuns(extents: FileExtent[], runs: Buffer, firstCluster: number): void {
    const { clusterBytes } = this.shape
    let cluster = firstCluster
    let place = 0
    for (let at = 0; at < runs.length && runs[at] !== 0;) {
      const lengthBytes = runs[at]! & 0x0f
      const placeBytes = runs[at]! >> 4
      if (lengthBytes === 0 || lengthBytes > 6 || placeBytes > 6 || at + 1 + lengthBytes + placeBytes > runs.length)
        return
      const count = runs.readUIntLE(at + 1, lengthBytes)
      if (placeBytes > 0) {
        place += runs.readIntLE(at + 1 + lengthBytes, placeBytes)
        if (place < 0 || (place + count) * clusterBytes > this.source.size) return
        addExtent(extents, cluster * clusterBytes, place * clusterBytes, count * clusterBytes)
      }
      cluster += count
      at += 1 + lengthBytes + placeBytes
    }
  }

  private async record(number: number): Promise<MftRecord | undefined> {
    const { recordBytes } = this.shape
    if (number >= this.recordCount) return undefined
    const at = number * recordBytes
    const extent = this.table.find((one) => one.at <= at && at + recordBytes <= one.at + one.lengthBytes)
    if (!extent) return undefined
    const offset = extent.offset + at - extent.at
    const bytes = await this.source.bytes(offset, recordBytes)
    if (bytes.length < recordBytes || bytes.toString('latin1', 0, 4) !== 'FILE' || !mend(bytes)) return undefined
    const flags = bytes.readUInt16LE(22)
    if ((flags & IN_USE) === 0) return undefined
    const base = Number(bytes.readBigUInt64LE(32) % BigInt(REFERENCE_LIMIT))
    return { number, offset, bytes, directory: (flags & IS_DIRECTORY) !== 0, base }
  }
}

/** Puts the last two bytes of each stride back. False when the record was written in part only. */
function mend(bytes: Buffer): boolean {
  const at = bytes.readUInt16LE(4)
  const count = bytes.readUInt16LE(6)
  if (count < 1 || at + count * 2 > bytes.length || (count - 1) * FIXUP_STRIDE > bytes.length) return false
  for (let stride = 1; stride < count; stride++) {
    const end = stride * FIXUP_STRIDE - 2
    if (bytes.readUInt16LE(end) !== bytes.readUInt16LE(at)) return false
    bytes.writeUInt16LE(bytes.readUInt16LE(at + stride * 2), end)
  }
  return true
}

function attributesIn(bytes: Buffer): Attribute[] {
  const found: Attribute[] = []
  let at = bytes.readUInt16LE(20)
  while (at + 24 <= bytes.length && bytes.readUInt32LE(at) !== END) {
    const length = bytes.readUInt32LE(at + 4)
    if (length < 24 || at + length > bytes.length) break
    const own = bytes.subarray(at, at + length)
    const nameAt = own.readUInt16LE(10)
    found.push({
      type: own.readUInt32LE(0),
      name: own.toString('utf16le', nameAt, Math.min(own.length, nameAt + own[9]! * 2)),
      at,
      resident: own[8] === 0,
      flags: own.readUInt16LE(12),
      bytes: own
    })
    at += length
  }
  return found
}

/** Of a resident attribute. */
function valueOf(bytes: Buffer): Buffer {
  const at = bytes.readUInt16LE(20)
  return bytes.subarray(at, at + bytes.readUInt32LE(16))
}

/** The records that an attribute list names, each once, without its own. */
function recordsIn(list: Buffer, own: number): Set<number> {
  const numbers = new Set<number>()
  for (let at = 0; at + 26 <= list.length;) {
    const length = list.readUInt16LE(at + 4)
    if (length < 26) break
    numbers.add(Number(list.readBigUInt64LE(at + 16) % BigInt(REFERENCE_LIMIT)))
    at += length
  }
  numbers.delete(own)
  return numbers
}
