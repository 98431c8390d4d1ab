import { ascii } from '../ascii.js'
import type { LogicalUnit } from '../logical-unit.js'
import type { Nexus } from '../nexus.js'
import type { VpdPage } from './page.js'

/** SPC-4 §7.8.6: what the unit, the port that was asked, and the whole target device are called. */
export const deviceIdentification: VpdPage = {
  code: 0x83,
  build: (unit, nexus) =>
    Buffer.concat([
      designator(LOGICAL_UNIT | TYPE_NAA, CODE_SET_BINARY, unit.identity.naa),
      designator(LOGICAL_UNIT | TYPE_T10_VENDOR, CODE_SET_ASCII, t10VendorId(unit)),
      designator(LOGICAL_UNIT | TYPE_SCSI_NAME, CODE_SET_UTF8, scsiName(unit.identity.scsiName)),
      designator(TARGET_PORT | TYPE_SCSI_NAME, CODE_SET_UTF8, scsiName(nexus.targetPort)),
      designator(TARGET_PORT | TYPE_RELATIVE_PORT, CODE_SET_BINARY, lastTwoBytes(RELATIVE_TARGET_PORT)),
      designator(TARGET_PORT | TYPE_PORT_GROUP, CODE_SET_BINARY, lastTwoBytes(nexus.targetPortalGroupTag)),
      targetDeviceDesignator(nexus)
    ])
}

/** The designation descriptor of the whole target device. */
export function targetDeviceDesignator(nexus: Nexus): Buffer {
  return designator(TARGET_DEVICE | TYPE_SCSI_NAME, CODE_SET_UTF8, scsiName(nexus.targetName))
}

/** A target has one port, which is its portal group. */
export const RELATIVE_TARGET_PORT = 1

const CODE_SET_BINARY = 1
const CODE_SET_ASCII = 2
const CODE_SET_UTF8 = 3
const TYPE_T10_VENDOR = 1
export const TYPE_NAA = 3
const TYPE_RELATIVE_PORT = 4
const TYPE_PORT_GROUP = 5
const TYPE_SCSI_NAME = 8
/** ASSOCIATION, bits 5-4 of byte 1; the two of the target carry the protocol as well (PIV). */
export const LOGICAL_UNIT = 0x00
const TARGET_PORT = 0x10
const TARGET_DEVICE = 0x20
const PIV = 0x80
const PROTOCOL_ISCSI = 0x50

function designator(kind: number, codeSet: number, value: Buffer): Buffer {
  const ofTarget = (kind & (TARGET_PORT | TARGET_DEVICE)) !== 0
  const header = Buffer.from([(ofTarget ? PROTOCOL_ISCSI : 0) | codeSet, (ofTarget ? PIV : 0) | kind, 0, value.length])
  return Buffer.concat([header, value])
}

/** §7.8.6.4: the eight characters of the vendor, then what is unique among its products. */
function t10VendorId({ identity }: LogicalUnit): Buffer {
  return Buffer.concat([ascii(identity.vendor, 8), ascii(identity.product, 16), Buffer.from(identity.serial, 'ascii')])
}

/** §7.8.6.11: ends with a null and is padded with nulls to a multiple of four. */
function scsiName(name: string): Buffer {
  const text = Buffer.from(name, 'utf8')
  const padded = Buffer.alloc(Math.ceil((text.length + 1) / 4) * 4)
  text.copy(padded)
  return padded
}

function lastTwoBytes(value: number): Buffer {
  return Buffer.from([0, 0, value >>> 8, value & 0xff])
}
