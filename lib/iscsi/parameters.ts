/** What a login has settled (RFC 7143 §13); lengths in bytes, times in seconds. */
export interface SessionParameters {
  headerDigest: boolean
  dataDigest: boolean
  /** What we take in one PDU (ours, declared). */
  maxRecvDataSegmentLength: number
  /** What the initiator takes in one PDU (declared by it; 8192 until it does). */
  maxSendDataSegmentLength: number
  maxBurstLength: number
  firstBurstLength: number
  initialR2T: boolean
  immediateData: boolean
  maxOutstandingR2T: number
  maxConnections: number
  defaultTime2Wait: number
  defaultTime2Retain: number
  errorRecoveryLevel: number
}

/** What our side brings to a negotiation. */
export interface OfferedParameters {
  readonly maxRecvDataSegmentLength: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxOutstandingR2T: number
  /** The set that we support; the order is the initiator's (RFC 7143 §6.2.1). */
  readonly headerDigest: readonly ('None' | 'CRC32C')[]
  readonly dataDigest: readonly ('None' | 'CRC32C')[]
}

/** RFC 7143 §13 defaults, in force until the negotiation ends. */
export function defaultParameters(): SessionParameters {
  return {
    headerDigest: false,
    dataDigest: false,
    maxRecvDataSegmentLength: 8192,
    maxSendDataSegmentLength: 8192,
    maxBurstLength: 262144,
    firstBurstLength: 65536,
    initialR2T: true,
    immediateData: true,
    maxOutstandingR2T: 1,
    maxConnections: 1,
    defaultTime2Wait: 2,
    defaultTime2Retain: 20,
    errorRecoveryLevel: 0
  }
}

/**
 * InitialR2T=No and a large first burst save a round trip on every write; 256 KiB in one PDU is what the receive ring
 * holds twice.
 */
export const DEFAULT_OFFER: OfferedParameters = {
  maxRecvDataSegmentLength: 262144,
  maxBurstLength: 1048576,
  firstBurstLength: 262144,
  initialR2T: false,
  immediateData: true,
  maxOutstandingR2T: 16,
  headerDigest: ['None', 'CRC32C'],
  dataDigest: ['None', 'CRC32C']
}
