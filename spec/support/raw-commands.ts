import { dataOutHeader, lunBytes, type Pdu, type ScriptedInitiator } from './scripted-initiator.js'

/** CDBs, and PDUs sent one at a time by hand through a scripted initiator, for specs that break or bend the rules. */
export const BLOCK = 512
export const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
export const INQUIRY_36 = [0x12, 0, 0, 0, 36, 0]
export const SYNCHRONIZE_CACHE = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]
export const RESERVED_TAG = 0xffffffff

export function read10(lba: number, blocks: number): number[] {
  return [0x28, 0, ...word(lba), 0, blocks >> 8, blocks & 0xff, 0]
}

export function write10(lba: number, blocks: number): number[] {
  return [0x2a, 0, ...word(lba), 0, blocks >> 8, blocks & 0xff, 0]
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
}

export interface RawCommand {
  /** F 80h, R 40h, W 20h, ATTR 07h. */
  readonly flags: number
  readonly edtl?: number
  readonly data?: Buffer
  readonly lun?: number | Buffer
  /** The next one, taken, when left out. */
  readonly cmdSn?: number
  readonly tag?: number
  readonly immediate?: boolean
}

/** The header of a SCSI Command, RFC 7143 §11.3. Takes a CmdSN unless one is given. */
export function commandHeader(initiator: ScriptedInitiator, cdb: readonly number[], raw: RawCommand): Buffer {
  const bhs = Buffer.alloc(48)
  bhs[0] = raw.immediate ? 0x41 : 0x01
  bhs[1] = raw.flags
  lunBytes(raw.lun ?? 0).copy(bhs, 8)
  bhs.writeUInt32BE(raw.tag ?? initiator.takeTag(), 16)
  bhs.writeUInt32BE(raw.edtl ?? 0, 20)
  initiator.stamp(bhs, !raw.immediate && raw.cmdSn === undefined)
  if (raw.cmdSn !== undefined) bhs.writeUInt32BE(raw.cmdSn >>> 0, 24)
  Buffer.from(cdb).copy(bhs, 32)
  return bhs
}

/** Sends a SCSI Command and gives its tag; nobody answers its R2Ts. */
export async function begin(initiator: ScriptedInitiator, cdb: readonly number[], raw: RawCommand): Promise<number> {
  const bhs = commandHeader(initiator, cdb, raw)
  await initiator.sendPdu(bhs, raw.data)
  return bhs.readUInt32BE(16)
}

export interface RawDataOut {
  readonly tag: number
  /** Unsolicited data when left out. */
  readonly transferTag?: number
  readonly dataSn?: number
  readonly offset: number
  readonly final?: boolean
  readonly data: Buffer
  readonly lun?: Buffer
}

export function sendDataOut(initiator: ScriptedInitiator, raw: RawDataOut): Promise<void> {
  const { tag, transferTag = RESERVED_TAG, dataSn = 0, offset, final = true, lun = Buffer.alloc(8) } = raw
  return initiator.sendPdu(dataOutHeader({ tag, transferTag, lun, dataSn, offset, final }), raw.data)
}

/** The fields of an R2T, RFC 7143 §11.8. */
export function r2tFields(pdu: Pdu) {
  return {
    transferTag: pdu.bhs.readUInt32BE(20),
    r2tSn: pdu.bhs.readUInt32BE(36),
    offset: pdu.bhs.readUInt32BE(40),
    length: pdu.bhs.readUInt32BE(44)
  }
}

/** Sends a PDU made of its first bytes and a few fields, immediate, and gives its tag. */
export async function sendRaw(
  initiator: ScriptedInitiator,
  fields: { readonly opcode: number; readonly byte1?: number; readonly byte2?: number; readonly tag?: number },
  puts: readonly (readonly [offset: number, value: number])[] = [],
  data: Buffer = Buffer.alloc(0)
): Promise<number> {
  const bhs = Buffer.alloc(48)
  bhs[0] = fields.opcode
  bhs[1] = fields.byte1 ?? 0x80
  bhs[2] = fields.byte2 ?? 0
  const tag = fields.tag ?? initiator.takeTag()
  bhs.writeUInt32BE(tag, 16)
  initiator.stamp(bhs, (fields.opcode & 0x40) === 0)
  for (const [offset, value] of puts) bhs.writeUInt32BE(value >>> 0, offset)
  await initiator.sendPdu(bhs, data)
  return tag
}
