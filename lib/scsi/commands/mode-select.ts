import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField, invalidParameter } from '../invalid-field.js'
import type { LogicalUnit, Modes } from '../logical-unit.js'
import { modePages } from '../mode/index.js'
import { SUBPAGE_FORMAT, type ModePage } from '../mode/page.js'
import { MODE_PARAMETERS_CHANGED, PARAMETER_LIST_LENGTH_ERROR } from '../sense.js'
import type { Task } from '../task.js'

const modeSelect6Cdb = defineLayout(6, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  parameterListLength: u8,
  control: u8
})
const modeSelect10Cdb = defineLayout(10, {
  opcode: u8,
  flags: u8,
  reserved: bytes(5),
  parameterListLength: u16,
  control: u8
})
const view6 = modeSelect6Cdb.view()
const view10 = modeSelect10Cdb.view()

/** PF: the pages are those of the standard. */
const FLAG_PF = 0x10
const FLAGS_BYTE = 1
const PF_BIT = 4

/** Where the header of the two forms has what (SPC-4 §7.5.5). */
interface HeaderShape {
  readonly length: number
  readonly mediumTypeByte: number
  readonly longLbaByte: number | undefined
  descriptorLength(list: Buffer): number
}

const HEADER_6: HeaderShape = {
  length: 4,
  mediumTypeByte: 1,
  longLbaByte: undefined,
  descriptorLength: (list) => list[3]!
}
const HEADER_10: HeaderShape = {
  length: 8,
  mediumTypeByte: 2,
  longLbaByte: 4,
  descriptorLength: (list) => list.readUInt16BE(6)
}

/**
 * MODE SELECT(6), SPC-4 §6.11. SP stays out of the usage map: nothing can be saved. As SPC-4 §7.5.6 wants, nothing is
 * changed unless all of the list is good.
 */
export const modeSelect6 = defineCommand(
  {
    opcode: 0x15,
    name: 'MODE SELECT(6)',
    usage: [0x15, FLAG_PF, 0x00, 0x00, 0xff, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'never',
    execute(task) {
      const { flags, parameterListLength } = view6.at(task.cdb)
      begin(task, flags, parameterListLength)
    },
    finish: (task, unit) => select(task, unit, HEADER_6)
  },
  modeSelect6Cdb
)

/** MODE SELECT(10), SPC-4 §6.12. */
export const modeSelect10 = defineCommand(
  {
    opcode: 0x55,
    name: 'MODE SELECT(10)',
    usage: [0x55, FLAG_PF, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'never',
    execute(task) {
      const { flags, parameterListLength } = view10.at(task.cdb)
      begin(task, flags, parameterListLength)
    },
    finish: (task, unit) => select(task, unit, HEADER_10)
  },
  modeSelect10Cdb
)

/** A list of length 0 is no error (SPC-4 §6.11). PF=0 would make the pages vendor specific, and we have none. */
function begin(task: Task, flags: number, length: number): void {
  if (length > 0 && (flags & FLAG_PF) === 0) return invalidCdbField(task, FLAGS_BYTE, PF_BIT)
  task.gather(length)
}

function select(task: Task, unit: LogicalUnit, header: HeaderShape): void {
  const list = task.parameters!
  if (list.length === 0) return task.good()
  if (task.received < list.length || list.length < header.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
  if (list[header.mediumTypeByte] !== 0) return invalidParameter(task, header.mediumTypeByte)
  const descriptorLength = header.descriptorLength(list)
  if (header.length + descriptorLength > list.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
  const long = header.longLbaByte !== undefined && (list[header.longLbaByte]! & 1) !== 0
  const wrong = badDescriptor(unit, list.subarray(header.length, header.length + descriptorLength), long)
  if (wrong) return invalidParameter(task, wrong === 'length' ? header.length - 1 : header.length)
  applyPages(task, unit, list, header.length + descriptorLength)
}

/** Only the block size and capacity that the unit has can be asked for (SBC-3 §6.5.2). */
function badDescriptor(unit: LogicalUnit, descriptor: Buffer, long: boolean): 'length' | 'content' | undefined {
  if (descriptor.length === 0) return undefined
  if (descriptor.length !== (long ? 16 : 8)) return 'length'
  const most = long ? 0xffffffffffffffffn : 0xffffffffn
  const blocks = long ? descriptor.readBigUInt64BE(0) : BigInt(descriptor.readUInt32BE(0))
  const size = long ? descriptor.readUInt32BE(12) : descriptor.readUInt32BE(4) & 0xffffff
  const sameCount = blocks === 0n || blocks === most || blocks === BigInt(unit.blockCount)
  return sameCount && size === unit.blockSize ? undefined : 'content'
}

function applyPages(task: Task, unit: LogicalUnit, list: Buffer, first: number): void {
  const { writeCacheEnabled, descriptorSense, softwareWriteProtect } = unit
  const modes: Modes = { writeCacheEnabled, descriptorSense, softwareWriteProtect }
  for (let at = first; at < list.length;) {
    const headerLength = list[at]! & SUBPAGE_FORMAT ? 4 : 2
    if (at + headerLength > list.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
    const page = findPage(unit, list, at)
    if (!page) return invalidParameter(task, at)
    const current = page.build(unit, unit)
    const length = headerLength + (headerLength === 4 ? list.readUInt16BE(at + 2) : list[at + 1]!)
    if (length !== current.length) return invalidParameter(task, at + headerLength - 1)
    if (at + length > list.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
    const wanted = list.subarray(at, at + length)
    const fixed = firstFixedChange(page.changeable?.(unit), current, wanted)
    if (fixed >= 0) return invalidParameter(task, at + fixed)
    page.apply?.(wanted, modes)
    at += length
  }
  const changed = (Object.keys(modes) as (keyof Modes)[]).some((mode) => modes[mode] !== unit[mode])
  Object.assign(unit, modes)
  if (changed) unit.establish(MODE_PARAMETERS_CHANGED, task.nexus)
  task.good()
}

function findPage(unit: LogicalUnit, list: Buffer, at: number): ModePage | undefined {
  const code = list[at]! & 0x3f
  const subpage = list[at]! & SUBPAGE_FORMAT ? list[at + 1]! : 0
  return modePages.find((page) => page.code === code && page.subpage === subpage && (page.supported?.(unit) ?? true))
}

/** The first byte that would change a bit which cannot be changed, or -1. PS is reserved here, so it must be 0. */
function firstFixedChange(changeable: Buffer | undefined, current: Buffer, wanted: Buffer): number {
  return wanted.findIndex((byte, index) => ((byte ^ current[index]!) & ~(changeable?.[index] ?? 0)) !== 0)
}
