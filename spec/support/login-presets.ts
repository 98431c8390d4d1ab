/**
 * What well-known initiators send to log in, as data: the BHS fields that they choose and their keys in their order.
 * Seen on the wire or read in their sources; no code of the product is used here.
 */
export type Pairs = readonly (readonly [key: string, value: string])[]

export interface LoginPreset {
  readonly initiatorName: string
  readonly isid: string
  readonly cid: number
  readonly initiatorTaskTag: number
  readonly cmdSn: number
  readonly expStatSn: number
  /** The names in the first PDU, in the initiator's order; AuthMethod is among them when it has a security stage. */
  readonly first: (names: LoginNames) => Pairs
  /** Starts with CSG 1: the first keys and the operational keys go in one PDU. */
  readonly skipsSecurity: boolean
  readonly normal: Pairs
  readonly discovery: Pairs
  /** Sends a header and its data segment in TCP segments of their own. */
  readonly twoSegments: boolean
}

export interface LoginNames {
  readonly initiatorName: string
  /** Undefined for a discovery session. */
  readonly targetName: string | undefined
  readonly authMethod: string
}

/** Windows Server 2003 to 11. */
export const WINDOWS: LoginPreset = {
  initiatorName: 'iqn.1991-05.com.microsoft:win2003s',
  isid: '400001370000',
  cid: 1,
  initiatorTaskTag: 1,
  cmdSn: 1,
  expStatSn: 0,
  first: ({ initiatorName, targetName, authMethod }) => [
    ['InitiatorName', initiatorName],
    ...session(targetName),
    ['AuthMethod', authMethod]
  ],
  skipsSecurity: false,
  discovery: [
    ['HeaderDigest', 'None,CRC32C'],
    ['DataDigest', 'None,CRC32C'],
    ['MaxRecvDataSegmentLength', '65536'],
    ['DefaultTime2Wait', '0'],
    ['DefaultTime2Retain', '60']
  ],
  normal: [
    ['HeaderDigest', 'None,CRC32C'],
    ['DataDigest', 'None,CRC32C'],
    ['ErrorRecoveryLevel', '2'],
    ['InitialR2T', 'No'],
    ['ImmediateData', 'Yes'],
    ['MaxRecvDataSegmentLength', '65536'],
    ['MaxBurstLength', '262144'],
    ['FirstBurstLength', '65536'],
    ['MaxConnections', '32'],
    ['DataPDUInOrder', 'Yes'],
    ['DataSequenceInOrder', 'Yes'],
    ['DefaultTime2Wait', '0'],
    ['DefaultTime2Retain', '60'],
    ['MaxOutstandingR2T', '16']
  ],
  twoSegments: false
}

const OPEN_ISCSI_DISCOVERY: Pairs = [
  ['HeaderDigest', 'None'],
  ['DataDigest', 'None'],
  ['DefaultTime2Wait', '2'],
  ['DefaultTime2Retain', '0'],
  ['IFMarker', 'No'],
  ['OFMarker', 'No'],
  ['ErrorRecoveryLevel', '0'],
  ['MaxRecvDataSegmentLength', '32768']
]

/** open-iscsi on Linux. */
export const OPEN_ISCSI: LoginPreset = {
  initiatorName: 'iqn.1993-08.org.debian:01:5c3f1f2d9e3a',
  isid: '00023d000000',
  cid: 0,
  initiatorTaskTag: 0,
  cmdSn: 1,
  expStatSn: 0,
  first: ({ initiatorName, targetName, authMethod }) => [
    ['InitiatorName', initiatorName],
    ['InitiatorAlias', 'linux-pc'],
    ...targetPair(targetName),
    ['SessionType', targetName === undefined ? 'Discovery' : 'Normal'],
    ['AuthMethod', authMethod]
  ],
  skipsSecurity: false,
  discovery: OPEN_ISCSI_DISCOVERY,
  normal: [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['DefaultTime2Wait', '2'],
    ['DefaultTime2Retain', '0'],
    ['IFMarker', 'No'],
    ['OFMarker', 'No'],
    ['ErrorRecoveryLevel', '0'],
    ['InitialR2T', 'No'],
    ['ImmediateData', 'Yes'],
    ['MaxBurstLength', '16776192'],
    ['FirstBurstLength', '262144'],
    ['MaxOutstandingR2T', '1'],
    ['MaxConnections', '1'],
    ['DataPDUInOrder', 'Yes'],
    ['DataSequenceInOrder', 'Yes'],
    ['MaxRecvDataSegmentLength', '262144']
  ],
  twoSegments: false
}

/** VMware ESXi: no security stage, ITT and CID 0, header and data in two TCP segments. */
export const ESXI: LoginPreset = {
  ...OPEN_ISCSI,
  initiatorName: 'iqn.1998-01.com.vmware:esx1-3a1b2c4d',
  isid: '00023d000000',
  first: ({ initiatorName, targetName }) => [
    ['InitiatorName', initiatorName],
    ...targetPair(targetName),
    ['SessionType', targetName === undefined ? 'Discovery' : 'Normal']
  ],
  skipsSecurity: true,
  discovery: [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['DefaultTime2Wait', '0'],
    ['DefaultTime2Retain', '0'],
    ['IFMarker', 'No'],
    ['OFMarker', 'No'],
    ['ErrorRecoveryLevel', '0'],
    ['MaxRecvDataSegmentLength', '32768']
  ],
  twoSegments: true
}

/** iPXE sanboot: small segments, no immediate data, a random ISID. */
export const IPXE: LoginPreset = {
  initiatorName: 'iqn.2010-04.org.ipxe:00112233-4455-6677-8899-aabbccddeeff',
  isid: '40002723a5b7',
  cid: 0,
  initiatorTaskTag: 0x18ae0000,
  cmdSn: 0,
  expStatSn: 0,
  first: ({ initiatorName, targetName, authMethod }) => [
    ['InitiatorName', initiatorName],
    ...targetPair(targetName),
    ['SessionType', targetName === undefined ? 'Discovery' : 'Normal'],
    ['AuthMethod', authMethod]
  ],
  skipsSecurity: false,
  discovery: OPEN_ISCSI_DISCOVERY,
  normal: [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['MaxConnections', '1'],
    ['InitialR2T', 'Yes'],
    ['ImmediateData', 'No'],
    ['MaxRecvDataSegmentLength', '8192'],
    ['MaxBurstLength', '262144'],
    ['FirstBurstLength', '65536'],
    ['DefaultTime2Wait', '0'],
    ['DefaultTime2Retain', '0'],
    ['MaxOutstandingR2T', '1'],
    ['DataPDUInOrder', 'Yes'],
    ['DataSequenceInOrder', 'Yes'],
    ['ErrorRecoveryLevel', '0']
  ],
  twoSegments: false
}

const FREEBSD_ALWAYS: Pairs = [
  ['MaxRecvDataSegmentLength', '131072'],
  ['DefaultTime2Wait', '0'],
  ['DefaultTime2Retain', '0'],
  ['ErrorRecoveryLevel', '0'],
  ['MaxOutstandingR2T', '1']
]

/** FreeBSD iscsid: AuthMethod before the names, and a key that is irrelevant there in a discovery session. */
export const FREEBSD: LoginPreset = {
  initiatorName: 'iqn.1994-09.org.freebsd:host',
  isid: '80a1b2c30001',
  cid: 1,
  initiatorTaskTag: 0,
  cmdSn: 0,
  expStatSn: 0,
  first: ({ initiatorName, targetName, authMethod }) => [
    ['AuthMethod', authMethod === 'None' ? 'None' : 'None,CHAP'],
    ['InitiatorName', initiatorName],
    ...session(targetName)
  ],
  skipsSecurity: false,
  discovery: [['HeaderDigest', 'None'], ['DataDigest', 'None'], ...FREEBSD_ALWAYS],
  normal: [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['ImmediateData', 'Yes'],
    ['MaxBurstLength', '131072'],
    ['FirstBurstLength', '131072'],
    ['InitialR2T', 'Yes'],
    ...FREEBSD_ALWAYS
  ],
  twoSegments: false
}

const ISCSI_OSX_ALWAYS: Pairs = [
  ['DefaultTime2Wait', '2'],
  ['DefaultTime2Retain', '20'],
  ['ErrorRecoveryLevel', '0']
]

const ISCSI_OSX_CONNECTION: Pairs = [
  ['DataDigest', 'None'],
  ['HeaderDigest', 'None'],
  ['MaxRecvDataSegmentLength', '8192']
]

/** iscsi-osx on macOS: a fixed ISID, tags and CmdSN of 0, the presets of the standard; Time2Wait, Time2Retain and ERL must be answered. */
export const ISCSI_OSX: LoginPreset = {
  initiatorName: 'iqn.2015-01.com.localhost',
  isid: '800000000001',
  cid: 0,
  initiatorTaskTag: 0,
  cmdSn: 0,
  expStatSn: 0,
  first: ({ initiatorName, targetName, authMethod }) => [
    ['InitiatorName', initiatorName],
    ['InitiatorAlias', 'default'],
    ...targetPair(targetName),
    ['SessionType', targetName === undefined ? 'Discovery' : 'Normal'],
    ['AuthMethod', authMethod]
  ],
  skipsSecurity: false,
  discovery: [...ISCSI_OSX_ALWAYS, ...ISCSI_OSX_CONNECTION],
  normal: [
    ...ISCSI_OSX_ALWAYS,
    ['MaxConnections', '1'],
    ['InitialR2T', 'Yes'],
    ['ImmediateData', 'Yes'],
    ['MaxBurstLength', '262144'],
    ['FirstBurstLength', '65536'],
    ['MaxOutstandingR2T', '1'],
    ['DataPDUInOrder', 'Yes'],
    ['DataSequenceInOrder', 'Yes'],
    ...ISCSI_OSX_CONNECTION
  ],
  twoSegments: false
}

/** globalSAN on macOS: says nothing of bursts and times, so the presets of the standard hold. */
export const GLOBAL_SAN: LoginPreset = {
  ...ISCSI_OSX,
  initiatorName: 'iqn.2011-09.com.studionetworksolutions:globalsan',
  isid: '80a3f5120001',
  initiatorTaskTag: 1,
  normal: [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['InitialR2T', 'No'],
    ['ImmediateData', 'Yes'],
    ['MaxRecvDataSegmentLength', '262144'],
    ['MaxConnections', '1'],
    ['ErrorRecoveryLevel', '0']
  ],
  discovery: [['MaxRecvDataSegmentLength', '262144']]
}

const LIBISCSI_NORMAL: Pairs = [
  ['HeaderDigest', 'None,CRC32C'],
  ['DataDigest', 'None'],
  ['InitialR2T', 'No'],
  ['ImmediateData', 'Yes'],
  ['MaxBurstLength', '262144'],
  ['FirstBurstLength', '262144'],
  ['DefaultTime2Wait', '2'],
  ['DefaultTime2Retain', '0'],
  ['MaxOutstandingR2T', '1'],
  ['ErrorRecoveryLevel', '0'],
  ['IFMarker', 'No'],
  ['OFMarker', 'No'],
  ['MaxConnections', '1'],
  ['MaxRecvDataSegmentLength', '262144'],
  ['DataPDUInOrder', 'Yes'],
  ['DataSequenceInOrder', 'Yes']
]

/** libiscsi and QEMU without a secret: no security stage, and all keys in a discovery session too. */
export const LIBISCSI: LoginPreset = {
  initiatorName: 'iqn.2008-11.org.linux-kvm',
  isid: '806a5d3c0000',
  cid: 0,
  initiatorTaskTag: 1,
  cmdSn: 1,
  expStatSn: 0,
  first: ({ initiatorName, targetName }) => [
    ['InitiatorName', initiatorName],
    ...targetPair(targetName),
    ['SessionType', targetName === undefined ? 'Discovery' : 'Normal']
  ],
  skipsSecurity: true,
  discovery: [['HeaderDigest', 'None'], ...LIBISCSI_NORMAL.slice(1)],
  normal: LIBISCSI_NORMAL,
  twoSegments: false
}

function session(targetName: string | undefined): Pairs {
  if (targetName === undefined) return [['SessionType', 'Discovery']]
  return [
    ['SessionType', 'Normal'],
    ['TargetName', targetName]
  ]
}

function targetPair(targetName: string | undefined): Pairs {
  return targetName === undefined ? [] : [['TargetName', targetName]]
}
