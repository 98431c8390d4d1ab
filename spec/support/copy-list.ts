/** Parameter lists of EXTENDED COPY (SPC-4 §6.4), put together by hand and not by our layouts. */
export function copyList(
  cscds: readonly Buffer[],
  segments: readonly Buffer[],
  { listId = 0, usage = 0, inlineLength = 0 } = {}
): Buffer {
  const header = Buffer.alloc(16)
  const [names, work] = [Buffer.concat(cscds), Buffer.concat(segments)]
  header[0] = listId
  header[1] = usage << 3
  header.writeUInt16BE(names.length, 2)
  header.writeUInt32BE(work.length, 8)
  header.writeUInt32BE(inlineLength, 12)
  return Buffer.concat([header, names, work, Buffer.alloc(inlineLength)])
}

/** An identification CSCD with an NAA designator of a logical unit. */
export function cscd(
  designator: Buffer,
  { type = 0xe4, deviceType = 0, length = designator.length, designatorType = 3, blockSize = 512 } = {}
): Buffer {
  const bytes = Buffer.alloc(32)
  bytes[0] = type
  bytes[1] = deviceType
  bytes[4] = 1
  bytes[5] = designatorType
  bytes[7] = length
  designator.copy(bytes, 8)
  bytes.writeUIntBE(blockSize, 29, 3)
  return bytes
}

export function segmentOfBlocks(
  source: number,
  destination: number,
  blocks: number,
  sourceLba: number,
  destinationLba: number,
  flags = 0
): Buffer {
  const bytes = Buffer.from([0x02, flags, 0, 0x18, ...Buffer.alloc(24)])
  bytes.writeUInt16BE(source, 4)
  bytes.writeUInt16BE(destination, 6)
  bytes.writeUInt16BE(blocks, 10)
  bytes.writeBigUInt64BE(BigInt(sourceLba), 12)
  bytes.writeBigUInt64BE(BigInt(destinationLba), 20)
  return bytes
}

export function segmentOfBytes(
  source: number,
  destination: number,
  count: number,
  sourceLba: number,
  destinationLba: number,
  sourceOffset = 0,
  destinationOffset = 0
): Buffer {
  const bytes = Buffer.from([0x0a, 0, 0, 0x1c, ...Buffer.alloc(28)])
  bytes.writeUInt16BE(source, 4)
  bytes.writeUInt16BE(destination, 6)
  bytes.writeUInt32BE(count, 8)
  bytes.writeBigUInt64BE(BigInt(sourceLba), 12)
  bytes.writeBigUInt64BE(BigInt(destinationLba), 20)
  bytes.writeUInt16BE(sourceOffset, 28)
  bytes.writeUInt16BE(destinationOffset, 30)
  return bytes
}
