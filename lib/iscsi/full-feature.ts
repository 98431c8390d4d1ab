import { BHS_LENGTH } from '../pdu/bhs.js'
import { RejectReason } from '../pdu/codes.js'
import { FLAG_IMMEDIATE, isInitiatorOpcode, OPCODE_MASK } from '../pdu/opcodes.js'
import type { Connection } from './connection.js'
import { handlers } from './handlers/index.js'
import type { Session } from './session.js'

/** A PDU in place: `bhs` in `ring`, and its data segment. Valid during the call only. */
export interface PduInPlace {
  readonly ring: Buffer
  readonly bhs: number
  readonly ahsLength: number
  readonly dataOffset: number
  readonly dataLength: number
}

/** How one operation code is handled in full feature phase. */
export interface PduHandler {
  readonly opcode: number
  /** Data-Out and SNACK carry no CmdSN: reading one from them corrupts the window. */
  readonly carriesCmdSn: boolean
  handle(connection: Connection, session: Session, pdu: PduInPlace): void
}

const table: readonly (PduHandler | undefined)[] = buildTable()
/** One object for all PDUs, filled anew for each; replayed PDUs have their own. */
const current = { ring: Buffer.alloc(0) as Buffer, bhs: 0, ahsLength: 0, dataOffset: 0, dataLength: 0 }

/** One PDU of full feature phase: the command window, then the handler of its operation code. */
export function handlePdu(
  connection: Connection,
  session: Session,
  ring: Buffer,
  bhs: number,
  ahsLength: number,
  dataOffset: number,
  dataLength: number
): void {
  const opcode = ring[bhs]! & OPCODE_MASK
  const handler = table[opcode]
  if (!handler) {
    const reason = isInitiatorOpcode(opcode) ? RejectReason.ProtocolError : RejectReason.CommandNotSupported
    return connection.rejectPdu(reason, ring, bhs)
  }
  current.ring = ring
  current.bhs = bhs
  current.ahsLength = ahsLength
  current.dataOffset = dataOffset
  current.dataLength = dataLength
  if (!handler.carriesCmdSn || (ring[bhs]! & FLAG_IMMEDIATE) !== 0) return handler.handle(connection, session, current)
  const cmdSn = ring.readUInt32BE(bhs + CMD_SN_OFFSET)
  const place = session.place(cmdSn)
  // RFC 7143 §4.2.2.1: what lies outside the window is ignored without a word.
  if (place === 'outside') return
  if (place === 'ahead') {
    session.held.hold(cmdSn, ring.readUInt32BE(bhs + TAG_OFFSET), copyOf(current))
    return
  }
  session.advance()
  handler.handle(connection, session, current)
  if (session.held.size > 0) replayHeld(connection, session)
}

/**
 * A PDU that the reader found malformed takes its CmdSN all the same, or all commands behind it would wait for ever.
 * Not so one with a wrong data digest: its initiator may send it again (RFC 7143 §7.8).
 */
export function passOver(connection: Connection, session: Session, ring: Buffer, bhs: number): void {
  const handler = table[ring[bhs]! & OPCODE_MASK]
  if (!handler?.carriesCmdSn || (ring[bhs]! & FLAG_IMMEDIATE) !== 0) return
  const cmdSn = ring.readUInt32BE(bhs + CMD_SN_OFFSET)
  if (session.place(cmdSn) === 'outside') return
  session.held.skip(cmdSn)
  replayHeld(connection, session)
}

/** Bytes of a PDU without digests, padding taken off: BHS, AHS, data. */
export function copyOf(pdu: PduInPlace): Buffer {
  return Buffer.concat([
    pdu.ring.subarray(pdu.bhs, pdu.bhs + BHS_LENGTH + pdu.ahsLength),
    pdu.ring.subarray(pdu.dataOffset, pdu.dataOffset + pdu.dataLength)
  ])
}

/** The gap has closed: the commands behind it enter in the order of their CmdSN, each with the data that came for it. */
export function replayHeld(connection: Connection, session: Session): void {
  while (!connection.leaving) {
    const pdus = session.held.take(session.expCmdSn)
    if (!pdus) return
    session.advance()
    for (const bytes of pdus) {
      const ahsLength = bytes[4]! * 4
      const dataOffset = BHS_LENGTH + ahsLength
      const pdu = { ring: bytes, bhs: 0, ahsLength, dataOffset, dataLength: bytes.length - dataOffset }
      table[bytes[0]! & OPCODE_MASK]!.handle(connection, session, pdu)
    }
  }
}

function buildTable(): (PduHandler | undefined)[] {
  const rows = new Array<PduHandler | undefined>(OPCODE_MASK + 1).fill(undefined)
  for (const handler of handlers) rows[handler.opcode] = handler
  return rows
}

const TAG_OFFSET = 16
const CMD_SN_OFFSET = 24
