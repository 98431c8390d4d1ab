/** CDBs and parameter lists of POPULATE TOKEN, WRITE USING TOKEN and what asks after them, put together by hand. */
export type Range = readonly [lba: number | bigint, blocks: number]

export interface ListOptions {
  /** What the list says of itself, where that is not true. */
  readonly dataLength?: number
  readonly rangesLength?: number
}

export function populateList(
  ranges: readonly Range[],
  {
    flags = 0,
    timeout = 0,
    rodType = 0,
    ...lengths
  }: ListOptions & { flags?: number; timeout?: number; rodType?: number } = {}
): Buffer {
  const header = Buffer.alloc(16)
  header[2] = flags
  header.writeUInt32BE(timeout, 4)
  header.writeUInt32BE(rodType, 8)
  return withRanges(header, ranges, lengths)
}

export function writeList(
  token: Buffer,
  ranges: readonly Range[],
  { flags = 0, offset = 0, ...lengths }: ListOptions & { flags?: number; offset?: number } = {}
): Buffer {
  const header = Buffer.alloc(536)
  header[2] = flags
  header.writeBigUInt64BE(BigInt(offset), 8)
  token.copy(header, 16)
  return withRanges(header, ranges, lengths)
}

/** SBC-3, the block device zero ROD token: a type, a length, and nothing else. */
export const ZERO_TOKEN = Buffer.concat([Buffer.from('ffff0001000001f8', 'hex'), Buffer.alloc(504)])

function withRanges(header: Buffer, ranges: readonly Range[], { dataLength, rangesLength }: ListOptions): Buffer {
  const descriptors = ranges.map(([lba, blocks]) => {
    const descriptor = Buffer.alloc(16)
    descriptor.writeBigUInt64BE(BigInt(lba), 0)
    descriptor.writeUInt32BE(blocks, 8)
    return descriptor
  })
  const list = Buffer.concat([header, ...descriptors])
  list.writeUInt16BE(dataLength ?? list.length - 2, 0)
  list.writeUInt16BE(rangesLength ?? list.length - header.length, header.length - 2)
  return list
}

export function populateCdb(listId: number, listLength: number): Buffer {
  return tokenCdb(0x10, listId, listLength)
}

export function writeCdb(listId: number, listLength: number): Buffer {
  return tokenCdb(0x11, listId, listLength)
}

function tokenCdb(serviceAction: number, listId: number, listLength: number): Buffer {
  const cdb = Buffer.from([0x83, serviceAction, ...Buffer.alloc(14)])
  cdb.writeUInt32BE(listId, 6)
  cdb.writeUInt32BE(listLength, 10)
  return cdb
}

/** RECEIVE ROD TOKEN INFORMATION, or with 05h RECEIVE COPY STATUS(LID4). */
export function receiveCdb(listId: number, allocationLength = 4096, serviceAction = 0x07): Buffer {
  const cdb = Buffer.from([0x84, serviceAction, ...Buffer.alloc(14)])
  cdb.writeUInt32BE(listId, 2)
  cdb.writeUInt32BE(allocationLength, 10)
  return cdb
}

/** COPY OPERATION ABORT. */
export function abortCdb(listId: number): Buffer {
  const cdb = Buffer.from([0x83, 0x1c, ...Buffer.alloc(14)])
  cdb.writeUInt32BE(listId, 2)
  return cdb
}

/** What RECEIVE ROD TOKEN INFORMATION says, taken apart by the table of the standard. */
export function copyStatus(data: Buffer) {
  const senseField = data[13]!
  const tokenAt = 32 + senseField
  const descriptors = data.length > tokenAt ? data.readUInt32BE(tokenAt) : 0
  return {
    length: data.readUInt32BE(0),
    serviceAction: data[4]!,
    status: data[5]!,
    completion: data[12]!,
    units: data[15]!,
    transferCount: Number(data.readBigUInt64BE(16)),
    sense: data.subarray(32, 32 + data[14]!),
    token: descriptors > 0 ? data.subarray(tokenAt + 6, tokenAt + 4 + descriptors) : undefined
  }
}
