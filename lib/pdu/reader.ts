import { AHS_LENGTH_MAX, parseAhs } from './ahs.js'
import { BHS_LENGTH } from './bhs.js'
import { RejectReason } from './codes.js'
import { crc32c, DIGEST_LENGTH, padLength, readDigest } from './digest.js'
import { PduError } from './errors.js'

/**
 * Frames the bytes of one connection, in place: no object, no copy a PDU, and nothing is allocated on the word of a
 * length field. Per PDU it loads nine bytes and makes one call; digests are summed when they are on.
 *
 *     | BHS 48 | AHS | [header digest 4] | data | padding to 4 | [data digest 4, with data only] |
 *
 * Two kinds of fault (RFC 7143 §7.7, §7.8). Where framing holds, the PDU goes to {@link PduSink.reject} and the next
 * one follows: a wrong data digest, a malformed AHS. Where it is lost, {@link PduSink.error} is the last call: a wrong
 * header digest (its length fields cannot be believed), a data segment longer than we declared.
 */
export interface PduSink {
  /**
   * One whole PDU. Lengths in bytes; the AHS starts at `bhsOffset + BHS_LENGTH`. The bytes are the caller's only
   * until this returns.
   * @returns whether to go on: false ends {@link PduReader.parse} behind this PDU (turn cap, closing, back-pressure)
   */
  pdu(ring: Buffer, bhsOffset: number, ahsLength: number, dataOffset: number, dataLength: number): boolean
  /** A PDU that must not be executed but answered with a Reject; returns as `pdu` does. */
  reject(error: PduError, ring: Buffer, bhsOffset: number): boolean
  /** Framing is lost: close the connection. Nothing will be parsed any more. */
  error(error: PduError, ring: Buffer, bhsOffset: number): void
}

export interface PduReaderOptions {
  /** Our MaxRecvDataSegmentLength in bytes. */
  readonly maxDataSegmentLength: number
  readonly headerDigest: boolean
  readonly dataDigest: boolean
}

/** The longest PDU, in bytes, that a peer may send when we declared a MaxRecvDataSegmentLength of `length`. */
export function pduLengthMax(length: number): number {
  return BHS_LENGTH + AHS_LENGTH_MAX + DIGEST_LENGTH + length + padLength(length) + DIGEST_LENGTH
}

export class PduReader {
  /** These three may change between PDUs, also within the sink's callback: the very next PDU obeys. */
  maxDataSegmentLength: number
  headerDigest: boolean
  dataDigest: boolean

  /**
   * Bytes that the PDU at the head of the rest needs in all, as far as its verified header tells; at most
   * {@link pduLengthMax} of the longest data segment. A ring that cannot hold them has to grow.
   */
  needed = BHS_LENGTH

  /** Bytes of the last PDU that was consumed, in all; 0 at first. */
  lastLength = 0

  /** True after {@link PduSink.error}. */
  failed = false

  private unreadPdu = false

  constructor(options: PduReaderOptions) {
    this.maxDataSegmentLength = options.maxDataSegmentLength
    this.headerDigest = options.headerDigest
    this.dataDigest = options.dataDigest
  }

  /**
   * Calls `sink` for every complete PDU in `ring[start, end)`, in order.
   * @returns the offset of the first byte that is not consumed; `end` once framing is lost
   */
  parse(ring: Buffer, start: number, end: number, sink: PduSink): number {
    let offset = start
    for (;;) {
      if (this.failed) return end
      const next = this.frame(ring, offset, end, sink)
      if (next === 0) return this.failed ? end : offset
      // Below zero: consumed, but the sink wants no more for now.
      if (next < 0) return -next
      offset = next
    }
  }

  /**
   * Called by the sink within `pdu` or `reject`: this PDU is not consumed, {@link parse} ends before it and gives it
   * again next time. For a sink that finds no room for the answer.
   * @returns false, for the sink to return
   */
  unread(): false {
    this.unreadPdu = true
    return false
  }

  /** One step: the offset behind the PDU, negated if the sink said stop, or 0 if nothing was consumed. */
  private frame(ring: Buffer, offset: number, end: number, sink: PduSink): number {
    if (end - offset < BHS_LENGTH) return this.wait(BHS_LENGTH)
    const ahsLength = ring[offset + 4]! << 2
    const dataLength = (ring[offset + 5]! << 16) | (ring[offset + 6]! << 8) | ring[offset + 7]!
    if (dataLength > this.maxDataSegmentLength) return this.lose(tooLong(dataLength), ring, offset, sink)

    const headerEnd = offset + BHS_LENGTH + ahsLength
    const dataOffset = this.headerDigest ? headerEnd + DIGEST_LENGTH : headerEnd
    if (dataOffset > end) return this.wait(dataOffset - offset)
    if (this.headerDigest && crc32c(ring, offset, headerEnd) !== readDigest(ring, headerEnd)) {
      return this.lose(headerDigestError(), ring, offset, sink)
    }

    const digestOffset = dataOffset + dataLength + padLength(dataLength)
    const hasDigest = this.dataDigest && dataLength > 0
    const next = hasDigest ? digestOffset + DIGEST_LENGTH : digestOffset
    if (next > end) return this.wait(next - offset)

    const goOn = this.deliver(ring, offset, ahsLength, dataOffset, dataLength, hasDigest ? digestOffset : 0, sink)
    if (this.unreadPdu) {
      this.unreadPdu = false
      return this.wait(next - offset)
    }
    this.needed = BHS_LENGTH
    this.lastLength = next - offset
    return goOn ? next : -next
  }

  /** @param digestOffset - of the data digest, 0 when there is none */
  private deliver(
    ring: Buffer,
    offset: number,
    ahsLength: number,
    dataOffset: number,
    dataLength: number,
    digestOffset: number,
    sink: PduSink
  ): boolean {
    if (digestOffset > 0 && crc32c(ring, dataOffset, digestOffset) !== readDigest(ring, digestOffset)) {
      return sink.reject(dataDigestError(), ring, offset)
    }
    const error = ahsLength > 0 ? ahsErrorOf(ring, offset + BHS_LENGTH, ahsLength) : undefined
    if (error !== undefined) return sink.reject(error, ring, offset)
    return sink.pdu(ring, offset, ahsLength, dataOffset, dataLength)
  }

  private wait(needed: number): 0 {
    this.needed = needed
    return 0
  }

  private lose(error: PduError, ring: Buffer, offset: number, sink: PduSink): 0 {
    this.failed = true
    this.needed = BHS_LENGTH
    sink.error(error, ring, offset)
    return 0
  }
}

function ahsErrorOf(ring: Buffer, start: number, length: number): PduError | undefined {
  try {
    parseAhs(ring, start, length)
    return undefined
  } catch (error) {
    if (error instanceof PduError) return error
    throw error
  }
}

function tooLong(length: number): PduError {
  const message = `a data segment of ${length} bytes is longer than we declared`
  return new PduError('ERR_ISCSI_DATA_SEGMENT_LENGTH', RejectReason.ProtocolError, message)
}

// RFC 7143 §7.7: a header digest error is never answered with a Reject; the reason is for the log alone.
function headerDigestError(): PduError {
  return new PduError('ERR_ISCSI_HEADER_DIGEST', RejectReason.ProtocolError, 'the header digest is wrong')
}

// RFC 7143 §7.8: a data digest error is always answered with a Reject of this reason, and the PDU is discarded.
function dataDigestError(): PduError {
  return new PduError('ERR_ISCSI_DATA_DIGEST', RejectReason.DataDigestError, 'the data digest is wrong')
}
