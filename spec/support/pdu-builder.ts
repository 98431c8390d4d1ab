/**
 * PDUs built and taken apart by hand from the offsets of RFC 7143 §11, without anything of lib/, so that a spec which
 * compares the two compares the code with the standard. Every field has a harmless default.
 */

const BHS_LENGTH = 48
const NO_TAG = 0xffffffff
const NO_BYTES = Buffer.alloc(0)

/** How a PDU goes on the wire. */
export interface Wire {
  ahs?: Buffer
  data?: Buffer | string
  headerDigest?: boolean
  dataDigest?: boolean
  /** The value of padding bytes; 0 by default. */
  padByte?: number
}

/** A fixed field of a header: its offset, its width in bytes, its value. */
type Put = readonly [offset: number, width: 1 | 2 | 4, value: number]

/** Header + AHS + header digest + data + padding + data digest; fills in both lengths. */
export function buildPdu(bhs: Buffer, wire: Wire = {}): Buffer {
  const ahs = wire.ahs ?? NO_BYTES
  const data = typeof wire.data === 'string' ? Buffer.from(wire.data) : (wire.data ?? NO_BYTES)
  const header = Buffer.concat([bhs, ahs])
  header.writeUInt8(ahs.length / 4, 4)
  header.writeUIntBE(data.length, 5, 3)
  const padding = Buffer.alloc((4 - (data.length % 4)) % 4, wire.padByte ?? 0)
  const segment = Buffer.concat([data, padding])
  const parts: Buffer[] = [header]
  if (wire.headerDigest) parts.push(digestOf(header))
  parts.push(segment)
  if (wire.dataDigest && data.length > 0) parts.push(digestOf(segment))
  return Buffer.concat(parts)
}

/** key=value pairs, each with its NUL. */
export function textOf(...pairs: string[]): Buffer {
  return Buffer.from(pairs.map((pair) => `${pair}\0`).join(''))
}

/** SCSI Command, §11.3. */
export function scsiCommand(
  fields: {
    immediate?: boolean
    /** F 80h, R 40h, W 20h, ATTR 07h. */
    flags?: number
    lun?: number | Buffer
    itt?: number
    edtl?: number
    cmdSn?: number
    expStatSn?: number
    cdb?: Buffer | number[]
  } & Wire = {}
): Buffer {
  const bhs = header(0x01, fields.immediate, fields.flags ?? 0x81, fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.edtl ?? 0],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 1]
  ])
  bhs.set(fields.cdb ?? [], 32)
  return buildPdu(bhs, fields)
}

/** Task Management Function Request, §11.5. */
export function taskManagementRequest(
  fields: {
    immediate?: boolean
    function: number
    lun?: number | Buffer
    itt?: number
    referencedTaskTag?: number
    cmdSn?: number
    expStatSn?: number
    refCmdSn?: number
    expDataSn?: number
  } & Wire
): Buffer {
  const bhs = header(0x02, fields.immediate ?? true, 0x80 | fields.function, fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.referencedTaskTag ?? NO_TAG],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 1],
    [32, 4, fields.refCmdSn ?? 0],
    [36, 4, fields.expDataSn ?? 0]
  ])
  return buildPdu(bhs, fields)
}

/** Login Request, §11.12. */
export function loginRequest(
  fields: {
    /** T 80h, C 40h, CSG 0Ch, NSG 03h. */
    flags?: number
    versionMax?: number
    versionMin?: number
    /** Six bytes. */
    isid?: Buffer | number[]
    tsih?: number
    itt?: number
    cid?: number
    cmdSn?: number
    expStatSn?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x03, true, fields.flags ?? 0x87, undefined, [
    [2, 1, fields.versionMax ?? 0],
    [3, 1, fields.versionMin ?? 0],
    [14, 2, fields.tsih ?? 0],
    [16, 4, fields.itt ?? 1],
    [20, 2, fields.cid ?? 1],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 0]
  ])
  bhs.set(fields.isid ?? [0x40, 0x00, 0x01, 0x37, 0x00, 0x00], 8)
  return buildPdu(bhs, fields)
}

/** Text Request, §11.10. */
export function textRequest(
  fields: {
    immediate?: boolean
    /** F 80h, C 40h. */
    flags?: number
    lun?: number | Buffer
    itt?: number
    ttt?: number
    cmdSn?: number
    expStatSn?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x04, fields.immediate, fields.flags ?? 0x80, fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.ttt ?? NO_TAG],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 1]
  ])
  return buildPdu(bhs, fields)
}

/** SCSI Data-Out, §11.7. */
export function dataOut(
  fields: {
    /** F 80h. */
    flags?: number
    lun?: number | Buffer
    itt?: number
    ttt?: number
    expStatSn?: number
    dataSn?: number
    bufferOffset?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x05, false, fields.flags ?? 0x80, fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.ttt ?? NO_TAG],
    [28, 4, fields.expStatSn ?? 1],
    [36, 4, fields.dataSn ?? 0],
    [40, 4, fields.bufferOffset ?? 0]
  ])
  return buildPdu(bhs, fields)
}

/** Logout Request, §11.14. */
export function logoutRequest(
  fields: {
    immediate?: boolean
    reason?: number
    itt?: number
    cid?: number
    cmdSn?: number
    expStatSn?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x06, fields.immediate ?? true, 0x80 | (fields.reason ?? 0), undefined, [
    [16, 4, fields.itt ?? 1],
    [20, 2, fields.cid ?? 1],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 1]
  ])
  return buildPdu(bhs, fields)
}

/** SNACK Request, §11.16. */
export function snack(
  fields: {
    type?: number
    lun?: number | Buffer
    itt?: number
    ttt?: number
    expStatSn?: number
    begRun?: number
    runLength?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x10, false, 0x80 | (fields.type ?? 0), fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.ttt ?? NO_TAG],
    [28, 4, fields.expStatSn ?? 1],
    [40, 4, fields.begRun ?? 0],
    [44, 4, fields.runLength ?? 0]
  ])
  return buildPdu(bhs, fields)
}

/** NOP-Out, §11.18. */
export function nopOut(
  fields: {
    immediate?: boolean
    lun?: number | Buffer
    itt?: number
    ttt?: number
    cmdSn?: number
    expStatSn?: number
  } & Wire = {}
): Buffer {
  const bhs = header(0x00, fields.immediate ?? true, 0x80, fields.lun, [
    [16, 4, fields.itt ?? 1],
    [20, 4, fields.ttt ?? NO_TAG],
    [24, 4, fields.cmdSn ?? 1],
    [28, 4, fields.expStatSn ?? 1]
  ])
  return buildPdu(bhs, fields)
}

export interface TakenApart {
  bhs: Buffer
  ahs: Buffer
  data: Buffer
}

/**
 * Takes whole PDUs off the front of `bytes`, as a peer would, and throws an Error on a wrong digest or non-zero padding.
 * @returns the PDUs (copies) and the bytes behind them that make no whole PDU yet
 */
export function takeApart(
  bytes: Buffer,
  wire: { headerDigest?: boolean; dataDigest?: boolean } = {}
): { pdus: TakenApart[]; rest: Buffer } {
  const pdus: TakenApart[] = []
  let rest = bytes
  for (;;) {
    const length = rest.length < BHS_LENGTH ? BHS_LENGTH : lengthOf(rest, wire)
    if (rest.length < length) return { pdus, rest }
    pdus.push(takeOne(rest.subarray(0, length), wire))
    rest = rest.subarray(length)
  }
}

function lengthOf(bhs: Buffer, wire: { headerDigest?: boolean; dataDigest?: boolean }): number {
  const dataLength = bhs.readUIntBE(5, 3)
  const digests = (wire.headerDigest ? 4 : 0) + (wire.dataDigest && dataLength > 0 ? 4 : 0)
  return BHS_LENGTH + bhs.readUInt8(4) * 4 + Math.ceil(dataLength / 4) * 4 + digests
}

function takeOne(pdu: Buffer, wire: { headerDigest?: boolean; dataDigest?: boolean }): TakenApart {
  const headerEnd = BHS_LENGTH + pdu.readUInt8(4) * 4
  const dataLength = pdu.readUIntBE(5, 3)
  const dataStart = headerEnd + (wire.headerDigest ? 4 : 0)
  const dataEnd = dataStart + Math.ceil(dataLength / 4) * 4
  check(!wire.headerDigest || digestOf(pdu.subarray(0, headerEnd)).equals(pdu.subarray(headerEnd, dataStart)), 'header')
  if (wire.dataDigest && dataLength > 0) {
    check(digestOf(pdu.subarray(dataStart, dataEnd)).equals(pdu.subarray(dataEnd, dataEnd + 4)), 'data')
  }
  const padding = pdu.subarray(dataStart + dataLength, dataEnd)
  if (padding.some((byte) => byte !== 0)) throw new Error('the padding is not zero')
  return {
    bhs: Buffer.from(pdu.subarray(0, BHS_LENGTH)),
    ahs: Buffer.from(pdu.subarray(BHS_LENGTH, headerEnd)),
    data: Buffer.from(pdu.subarray(dataStart, dataStart + dataLength))
  }
}

function check(right: boolean, which: string): void {
  if (!right) throw new Error(`the ${which} digest is wrong`)
}

/** CRC32C bit by bit, as the polynomial of §13.1 defines it. */
export function bitwiseCrc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

/** The four bytes of a digest on the wire, the least significant one first. */
export function digestOf(bytes: Buffer): Buffer {
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(bitwiseCrc32c(bytes))
  return digest
}

function header(opcode: number, immediate = false, flags: number, lun: number | Buffer = 0, puts: Put[]): Buffer {
  const bhs = Buffer.alloc(BHS_LENGTH)
  bhs.writeUInt8(immediate ? opcode | 0x40 : opcode, 0)
  bhs.writeUInt8(flags, 1)
  // Peripheral device addressing: bus 0, the number in byte 1.
  if (typeof lun === 'number') bhs.writeUInt8(lun, 9)
  else bhs.set(lun, 8)
  for (const [offset, width, value] of puts) bhs.writeUIntBE(value, offset, width)
  return bhs
}
