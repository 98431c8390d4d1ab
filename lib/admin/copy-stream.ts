import type { CopyPart } from '../target/control.js'
import type { IscsiError } from '../util/errors.js'
import { AdminError } from './errors.js'
import { errorAnswer } from './http-errors.js'

/**
 * A copy as bytes of an HTTP body: records, each with a head of 16 bytes.
 *
 *   0  u8   kind: 0 size, 1 data, 2 reached, 3 end, 4 error
 *   1       three zero bytes
 *   4  u32  bytes behind the head: data, or the JSON of an error
 *   8  u64  size of the whole, offset of the data, or how far it has come
 *
 * The end has a record of its own, so that a copy which broke off is never taken for a whole one; an error that comes
 * when the body has begun has one too.
 */
export const COPY_STREAM_TYPE = 'application/x-cloudx-copy'

const HEAD_LENGTH = 16
const KIND = { size: 0, data: 1, reached: 2, end: 3, error: 4 } as const
/** Longest record that is taken from a peer. */
const RECORD_BYTES_MAX = 4 * 2 ** 20

export function encodePart(part: CopyPart): Buffer {
  if (part.kind === 'size') return head(KIND.size, 0, part.lengthBytes)
  if (part.kind === 'reached') return head(KIND.reached, 0, part.offset)
  return Buffer.concat([head(KIND.data, part.bytes.length, part.offset), part.bytes])
}

export function encodeEnd(): Buffer {
  return head(KIND.end, 0, 0)
}

export function encodeError(error: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(errorAnswer(error).body))
  return Buffer.concat([head(KIND.error, body.length, 0), body])
}

/** The parts of a body. Throws AdminError when it is none, or breaks off, or tells of an error. */
export async function* decodeParts(body: AsyncIterable<Buffer>): AsyncGenerator<CopyPart> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of body) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let record = takeRecord(rest); record; record = takeRecord(rest)) {
      rest = rest.subarray(HEAD_LENGTH + record.bytes.length)
      if (record.kind === KIND.end) return
      yield partOf(record)
    }
  }
  throw new AdminError('ERR_ADMIN_ANSWER', 'the answer of the server broke off')
}

interface CopyRecord {
  readonly kind: number
  readonly value: number
  readonly bytes: Buffer
}

function takeRecord(bytes: Buffer): CopyRecord | undefined {
  if (bytes.length < HEAD_LENGTH) return undefined
  const length = bytes.readUInt32BE(4)
  if (length > RECORD_BYTES_MAX) throw strange()
  if (bytes.length < HEAD_LENGTH + length) return undefined
  return {
    kind: bytes[0]!,
    value: Number(bytes.readBigUInt64BE(8)),
    bytes: bytes.subarray(HEAD_LENGTH, HEAD_LENGTH + length)
  }
}

function partOf({ kind, value, bytes }: CopyRecord): CopyPart {
  if (kind === KIND.size) return { kind: 'size', lengthBytes: value }
  if (kind === KIND.reached) return { kind: 'reached', offset: value }
  if (kind === KIND.data) return { kind: 'data', offset: value, bytes }
  if (kind === KIND.error) throw errorOf(bytes)
  throw strange()
}

function errorOf(bytes: Buffer): IscsiError {
  const { error } = JSON.parse(bytes.toString('utf8')) as { error?: { code?: unknown; message?: unknown } }
  if (typeof error?.code !== 'string' || typeof error.message !== 'string') return strange()
  return new AdminError(error.code, error.message)
}

function strange(): AdminError {
  return new AdminError('ERR_ADMIN_ANSWER', 'what the server answered is no copy')
}

function head(kind: number, lengthBytes: number, value: number): Buffer {
  const bytes = Buffer.alloc(HEAD_LENGTH)
  bytes[0] = kind
  bytes.writeUInt32BE(lengthBytes, 4)
  bytes.writeBigUInt64BE(BigInt(value), 8)
  return bytes
}
