/**
 * The framing of RFC 7143 §11.2 once more, written from the standard for the fuzzer's own use: what a stream of bytes
 * means is not to be judged by the code that is under test.
 */
const BHS_LENGTH = 48
const DIGEST_LENGTH = 4
/** Reason codes of a Reject, §11.17.1. */
const DATA_DIGEST_ERROR = 0x02
const INVALID_PDU_FIELD = 0x09

export interface Framing {
  /** Longest data segment that the receiver has declared. */
  readonly lengthMax: number
  readonly headerDigest: boolean
  readonly dataDigest: boolean
}

export interface FramedPdu {
  readonly bhs: Buffer
  readonly ahs: Buffer
  /** Without padding. */
  readonly data: Buffer
  /** Reason of the Reject that it deserves; 0 when it is sound. */
  readonly fault: number
  /** Bytes of the stream that it takes. */
  readonly length: number
}

/** What stands at the head of the bytes: a PDU, bytes that are missing, or nothing that could be believed. */
export type Framed =
  | { readonly kind: 'pdu'; readonly pdu: FramedPdu }
  | { readonly kind: 'missing'; readonly bytes: number }
  | { readonly kind: 'lost' }

export function frameAt(bytes: Buffer, start: number, { lengthMax, headerDigest, dataDigest }: Framing): Framed {
  const available = bytes.length - start
  if (available < BHS_LENGTH) return { kind: 'missing', bytes: BHS_LENGTH - available }
  const ahsLength = bytes.readUInt8(start + 4) * 4
  const dataLength = bytes.readUIntBE(start + 5, 3)
  if (dataLength > lengthMax) return { kind: 'lost' }
  const headerEnd = BHS_LENGTH + ahsLength
  const dataStart = headerEnd + (headerDigest ? DIGEST_LENGTH : 0)
  if (available < dataStart) return { kind: 'missing', bytes: dataStart - available }
  if (headerDigest && !hasDigest(bytes, start, headerEnd)) return { kind: 'lost' }
  const padded = (dataLength + 3) & ~3
  const digested = dataDigest && dataLength > 0
  const length = dataStart + padded + (digested ? DIGEST_LENGTH : 0)
  if (available < length) return { kind: 'missing', bytes: length - available }
  const ahs = bytes.subarray(start + BHS_LENGTH, start + headerEnd)
  const damaged = digested && !hasDigest(bytes, start + dataStart, padded)
  return {
    kind: 'pdu',
    pdu: {
      bhs: bytes.subarray(start, start + BHS_LENGTH),
      ahs,
      data: bytes.subarray(start + dataStart, start + dataStart + dataLength),
      fault: damaged ? DATA_DIGEST_ERROR : isSoundAhs(ahs) ? 0 : INVALID_PDU_FIELD,
      length
    }
  }
}

/**
 * RFC 7143 §11.2.2: each segment has a length of at least one byte and lies within TotalAHSLength; an extended CDB has
 * 1 reserved byte and at least 1 of CDB, up to 260 bytes of CDB in all; a bidirectional length is 5 bytes. Each of the
 * two comes at most once.
 */
export function isSoundAhs(ahs: Buffer): boolean {
  const seen = new Set<number>()
  let at = 0
  while (at < ahs.length) {
    const length = ahs.readUInt16BE(at)
    const type = ahs.readUInt8(at + 2) & 0x3f
    if (length === 0 || at + 3 + length > ahs.length) return false
    if (type === 1 && (length < 2 || length > 245)) return false
    if (type === 2 && length !== 5) return false
    if ((type === 1 || type === 2) && seen.has(type)) return false
    seen.add(type)
    at += Math.ceil((3 + length) / 4) * 4
  }
  return true
}

function hasDigest(bytes: Buffer, start: number, length: number): boolean {
  return checksum(bytes, start, start + length) === bytes.readUInt32LE(start + length)
}

/** CRC32C, §13.1, a byte at a time. */
export function checksum(bytes: Buffer, start: number, end: number): number {
  let crc = 0xffffffff
  for (let at = start; at < end; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

const TABLE = Uint32Array.from({ length: 256 }, (_unused, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

/** Header, AHS, data and what the framing adds; the lengths in the header are filled in. */
export function framed(
  bhs: Buffer,
  ahs: Buffer,
  data: Buffer,
  { headerDigest, dataDigest }: Pick<Framing, 'headerDigest' | 'dataDigest'>
): Buffer {
  const headerEnd = BHS_LENGTH + ahs.length
  const dataStart = headerEnd + (headerDigest ? DIGEST_LENGTH : 0)
  const dataEnd = dataStart + ((data.length + 3) & ~3)
  const digested = dataDigest && data.length > 0
  const bytes = Buffer.alloc(dataEnd + (digested ? DIGEST_LENGTH : 0))
  bhs.copy(bytes)
  bytes.writeUInt8(ahs.length / 4, 4)
  bytes.writeUIntBE(data.length, 5, 3)
  ahs.copy(bytes, BHS_LENGTH)
  data.copy(bytes, dataStart)
  if (headerDigest) bytes.writeUInt32LE(checksum(bytes, 0, headerEnd), headerEnd)
  if (digested) bytes.writeUInt32LE(checksum(bytes, dataStart, dataEnd), dataEnd)
  return bytes
}
