import type { OfferedParameters, SessionParameters } from '../parameters.js'
import { and, maximum, minimum, or } from './results.js'

/**
 * The text keys of RFC 7143, one row each: what the standard says of a key, what we bring to its negotiation, and which
 * session parameter it settles. Login, full feature phase, documentation and logs all read this table.
 */

/** When a key may be used: `LO` leading login, `IO` any login, `FFPO` full feature phase only, `ALL` both (§13). */
export type Use = 'LO' | 'IO' | 'FFPO' | 'ALL'
/** Session-wide or for this connection only. */
export type Scope = 'SW' | 'CO'
/** Who may send the key of itself. */
export type Sender = 'initiator' | 'target' | 'both'
/** The login stage that a key belongs to; `any` for what may be declared in both. */
export type Stage = 'security' | 'operational' | 'any'

interface KeyFacts {
  readonly name: string
  /** Of RFC 7143. */
  readonly section: string
  readonly use: Use
  readonly scope: Scope
  readonly sender: Sender
  readonly stage: Stage
  /** Means nothing in a discovery session: answered with Irrelevant there. */
  readonly irrelevantInDiscovery: boolean
  /** In force when nobody speaks of the key; undefined when there is none. */
  readonly default: string | undefined
}

type ParameterOf<T> = {
  [K in keyof SessionParameters]: SessionParameters[K] extends T ? (T extends SessionParameters[K] ? K : never) : never
}[keyof SessionParameters]

/** A number that both sides negotiate. */
export interface NumberKey extends KeyFacts {
  readonly kind: 'number'
  readonly min: number
  readonly max: number
  readonly result: (theirs: number, ours: number) => number
  readonly ours: (offer: OfferedParameters) => number
  /** Undefined for what we only ever answer in one way. */
  readonly parameter: ParameterOf<number> | undefined
}

export interface BooleanKey extends KeyFacts {
  readonly kind: 'boolean'
  readonly result: (theirs: boolean, ours: boolean) => boolean
  readonly ours: (offer: OfferedParameters) => boolean
  readonly parameter: ParameterOf<boolean> | undefined
}

/** A list of which the responder takes the first that it supports. */
export interface ListKey extends KeyFacts {
  readonly kind: 'list'
  readonly ours: (offer: OfferedParameters) => readonly string[]
  /** The digest that the choice turns on or off. */
  readonly parameter: 'headerDigest' | 'dataDigest' | undefined
}

/** A number that each side declares for itself: it takes no answer. */
export interface DeclaredNumberKey extends KeyFacts {
  readonly kind: 'declared-number'
  readonly min: number
  readonly max: number
  readonly ours: (offer: OfferedParameters) => number
  /** Where what the initiator declared goes. */
  readonly parameter: ParameterOf<number>
}

/** Text that the login itself reads: names, the session type, authentication. It is not negotiated by a rule. */
export interface TextKey extends KeyFacts {
  readonly kind: 'text'
}

/** Obsolete, and must be answered with this and never with NotUnderstood (§13.25). */
export interface ObsoleteKey extends KeyFacts {
  readonly kind: 'obsolete'
  readonly answer: 'No' | 'Reject'
}

export type Key = NumberKey | BooleanKey | ListKey | DeclaredNumberKey | TextKey | ObsoleteKey

const LENGTH_MAX = 0xffffff

/** What most operational keys have in common. */
const SESSION_WIDE = {
  use: 'LO',
  scope: 'SW',
  sender: 'both',
  stage: 'operational',
  irrelevantInDiscovery: true
} as const
const IN_EVERY_SESSION = { ...SESSION_WIDE, irrelevantInDiscovery: false } as const
const DIGEST = { ...IN_EVERY_SESSION, section: '13.1', use: 'IO', scope: 'CO', kind: 'list', default: 'None' } as const
const NAME = {
  use: 'IO',
  scope: 'SW',
  sender: 'initiator',
  stage: 'any',
  irrelevantInDiscovery: false,
  default: undefined,
  kind: 'text'
} as const
const CHAP = { ...NAME, section: '12.1.3', scope: 'CO', sender: 'both', stage: 'security' } as const

const ROWS: readonly Key[] = [
  { ...CHAP, name: 'AuthMethod', section: '12.1', default: 'None' },
  { ...CHAP, name: 'CHAP_A', sender: 'initiator' },
  { ...CHAP, name: 'CHAP_I' },
  { ...CHAP, name: 'CHAP_C' },
  { ...CHAP, name: 'CHAP_N' },
  { ...CHAP, name: 'CHAP_R' },

  { ...DIGEST, name: 'HeaderDigest', ours: (offer) => offer.headerDigest, parameter: 'headerDigest' },
  { ...DIGEST, name: 'DataDigest', ours: (offer) => offer.dataDigest, parameter: 'dataDigest' },
  {
    ...SESSION_WIDE,
    name: 'MaxConnections',
    section: '13.2',
    kind: 'number',
    default: '1',
    min: 1,
    max: 65535,
    result: minimum,
    ours: () => 1,
    parameter: 'maxConnections'
  },
  { ...NAME, name: 'SendTargets', section: '13.3', use: 'FFPO' },
  { ...NAME, name: 'TargetName', section: '13.4' },
  { ...NAME, name: 'InitiatorName', section: '13.5' },
  { ...NAME, name: 'TargetAlias', section: '13.6', use: 'ALL', sender: 'target' },
  { ...NAME, name: 'InitiatorAlias', section: '13.7', use: 'ALL' },
  { ...NAME, name: 'TargetAddress', section: '13.8', use: 'ALL', sender: 'target' },
  { ...NAME, name: 'TargetPortalGroupTag', section: '13.9', sender: 'target' },
  {
    ...SESSION_WIDE,
    name: 'InitialR2T',
    section: '13.10',
    kind: 'boolean',
    default: 'Yes',
    result: or,
    ours: (offer) => offer.initialR2T,
    parameter: 'initialR2T'
  },
  {
    ...SESSION_WIDE,
    name: 'ImmediateData',
    section: '13.11',
    kind: 'boolean',
    default: 'Yes',
    result: and,
    ours: (offer) => offer.immediateData,
    parameter: 'immediateData'
  },
  {
    ...IN_EVERY_SESSION,
    name: 'MaxRecvDataSegmentLength',
    section: '13.12',
    use: 'ALL',
    scope: 'CO',
    kind: 'declared-number',
    default: '8192',
    min: 512,
    max: LENGTH_MAX,
    ours: (offer) => offer.maxRecvDataSegmentLength,
    parameter: 'maxSendDataSegmentLength'
  },
  {
    ...SESSION_WIDE,
    name: 'MaxBurstLength',
    section: '13.13',
    kind: 'number',
    default: '262144',
    min: 512,
    max: LENGTH_MAX,
    result: minimum,
    ours: (offer) => offer.maxBurstLength,
    parameter: 'maxBurstLength'
  },
  {
    ...SESSION_WIDE,
    name: 'FirstBurstLength',
    section: '13.14',
    kind: 'number',
    default: '65536',
    min: 512,
    max: LENGTH_MAX,
    result: minimum,
    ours: (offer) => Math.min(offer.firstBurstLength, offer.maxBurstLength),
    parameter: 'firstBurstLength'
  },
  {
    ...IN_EVERY_SESSION,
    name: 'DefaultTime2Wait',
    section: '13.15',
    kind: 'number',
    default: '2',
    min: 0,
    max: 3600,
    result: maximum,
    ours: () => 2,
    parameter: 'defaultTime2Wait'
  },
  {
    ...IN_EVERY_SESSION,
    name: 'DefaultTime2Retain',
    section: '13.16',
    kind: 'number',
    default: '20',
    min: 0,
    max: 3600,
    result: minimum,
    // With ErrorRecoveryLevel 0 no task outlives its connection, so there is nothing to retain.
    ours: () => 0,
    parameter: 'defaultTime2Retain'
  },
  {
    ...SESSION_WIDE,
    name: 'MaxOutstandingR2T',
    section: '13.17',
    kind: 'number',
    default: '1',
    min: 1,
    max: 65535,
    result: minimum,
    ours: (offer) => offer.maxOutstandingR2T,
    parameter: 'maxOutstandingR2T'
  },
  {
    ...SESSION_WIDE,
    name: 'DataPDUInOrder',
    section: '13.18',
    kind: 'boolean',
    default: 'Yes',
    result: or,
    ours: () => true,
    parameter: undefined
  },
  {
    ...SESSION_WIDE,
    name: 'DataSequenceInOrder',
    section: '13.19',
    kind: 'boolean',
    default: 'Yes',
    result: or,
    ours: () => true,
    parameter: undefined
  },
  {
    ...IN_EVERY_SESSION,
    name: 'ErrorRecoveryLevel',
    section: '13.20',
    kind: 'number',
    default: '0',
    min: 0,
    max: 2,
    result: minimum,
    ours: () => 0,
    parameter: 'errorRecoveryLevel'
  },
  { ...NAME, name: 'SessionType', section: '13.21', use: 'LO', default: 'Normal' },
  {
    ...SESSION_WIDE,
    name: 'TaskReporting',
    section: '13.23',
    kind: 'list',
    default: 'RFC3720',
    ours: () => ['RFC3720'],
    parameter: undefined
  },
  {
    ...SESSION_WIDE,
    name: 'iSCSIProtocolLevel',
    section: '13.24',
    kind: 'number',
    default: '1',
    min: 0,
    max: 31,
    result: minimum,
    ours: () => 1,
    parameter: undefined
  },
  // iPXE takes a Reject of any key for a failure, and §13.25 allows No for the two that ask for markers at all.
  { ...IN_EVERY_SESSION, name: 'IFMarker', section: '13.25', kind: 'obsolete', default: 'No', answer: 'No' },
  { ...IN_EVERY_SESSION, name: 'OFMarker', section: '13.25', kind: 'obsolete', default: 'No', answer: 'No' },
  { ...IN_EVERY_SESSION, name: 'OFMarkInt', section: '13.25', kind: 'obsolete', default: undefined, answer: 'Reject' },
  { ...IN_EVERY_SESSION, name: 'IFMarkInt', section: '13.25', kind: 'obsolete', default: undefined, answer: 'Reject' }
]

/** In the order of the standard. A map and no object, since a peer asks for keys such as `__proto__`. */
export const keys: ReadonlyMap<string, Key> = new Map(ROWS.map((row) => [row.name, row]))
