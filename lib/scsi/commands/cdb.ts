import { bytes, defineLayout, getU32, u16, u24, u32, u64, u8 } from '../../layout/layout.js'
import type { LogicalUnit } from '../logical-unit.js'

/**
 * The four shapes that most block commands share. The views are movable windows on one CDB each: read what is needed
 * before anything else can run, an asynchronous step included.
 */
const cdb6 = defineLayout(6, { opcode: u8, lba: u24, blocks: u8, control: u8 })
export const cdb10 = defineLayout(10, { opcode: u8, flags: u8, lba: u32, group: u8, blocks: u16, control: u8 })
const cdb12 = defineLayout(12, { opcode: u8, flags: u8, lba: u32, blocks: u32, group: u8, control: u8 })
const cdb16 = defineLayout(16, { opcode: u8, flags: u8, lba: u64, blocks: u32, group: u8, control: u8 })

/** A CDB of which only bytes are looked at. */
export const rawCdb6 = defineLayout(6, { opcode: u8, rest: bytes(4), control: u8 })

/** Byte 1 of READ and WRITE (SBC-3 §5.11, §5.33). */
export const FLAG_FUA = 0x08
export const FLAG_DPO = 0x10

/** GROUP NUMBER: five bits, evaluated in no command here but allowed to be set. */
export const GROUP_MASK = 0x1f

export interface BlockRange {
  readonly lba: number
  readonly blocks: number
  readonly flags: number
}

export type ReadRange = (cdb: Buffer) => BlockRange

const { offsets: at6 } = cdb6
const { offsets: at10 } = cdb10
const { offsets: at12 } = cdb12
const { offsets: at16 } = cdb16
// One object for all CDBs, filled anew for each: the data path makes none.
const range = { lba: 0, blocks: 0, flags: 0 }

/** SBC-3 §5.10: a 6-byte CDB has 21 bits of LBA, and 0 blocks mean 256. */
function range6(cdb: Buffer): BlockRange {
  const blocks = cdb[at6.blocks]!
  return ofRange(u24.get(cdb, at6.lba) & 0x1fffff, blocks === 0 ? 256 : blocks, 0)
}

function range10(cdb: Buffer): BlockRange {
  return ofRange(getU32(cdb, at10.lba), u16.get(cdb, at10.blocks), cdb[at10.flags]!)
}

function range12(cdb: Buffer): BlockRange {
  return ofRange(getU32(cdb, at12.lba), getU32(cdb, at12.blocks), cdb[at12.flags]!)
}

function range16(cdb: Buffer): BlockRange {
  return ofRange(u64.get(cdb, at16.lba), getU32(cdb, at16.blocks), cdb[at16.flags]!)
}

function ofRange(lba: number, blocks: number, flags: number): BlockRange {
  range.lba = lba
  range.blocks = blocks
  range.flags = flags
  return range
}

/** One of the shapes of CDB that block commands come in. */
export interface CdbForm {
  /** Bytes. */
  readonly length: number
  readonly rangeOf: ReadRange
  /** CDB usage data (SPC-4 §6.35.3). @param flags - the bits of byte 1 that the command evaluates */
  readonly usage: (opcode: number, flags: number) => readonly number[]
}

/** Byte 1 is part of the LBA here, so there are no flags. */
export const form6: CdbForm = {
  length: cdb6.length,
  rangeOf: range6,
  usage: (opcode) => [opcode, 0x1f, 0xff, 0xff, 0xff, 0x00]
}
export const form10: CdbForm = {
  length: cdb10.length,
  rangeOf: range10,
  usage: (opcode, flags) => [opcode, flags, 0xff, 0xff, 0xff, 0xff, GROUP_MASK, 0xff, 0xff, 0x00]
}
export const form12: CdbForm = {
  length: cdb12.length,
  rangeOf: range12,
  usage: (opcode, flags) => [opcode, flags, ...allBits(8), GROUP_MASK, 0x00]
}
export const form16: CdbForm = {
  length: cdb16.length,
  rangeOf: range16,
  usage: (opcode, flags) => [opcode, flags, ...allBits(12), GROUP_MASK, 0x00]
}

function allBits(bytes: number): readonly number[] {
  return Array<number>(bytes).fill(0xff)
}

/** Whether what a command wrote must be on the medium before its status (SBC-3 §4.15). @param flags - byte 1 of its CDB */
export function mustFlush(flags: number, unit: LogicalUnit): boolean {
  return (flags & FLAG_FUA) !== 0 || !unit.writeCacheEnabled
}
