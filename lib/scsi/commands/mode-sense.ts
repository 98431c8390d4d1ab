import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import { selectModePages } from '../mode/index.js'
import type { ModePage } from '../mode/page.js'
import { SAVING_NOT_SUPPORTED } from '../sense.js'
import type { Task } from '../task.js'

const modeSense6Cdb = defineLayout(6, {
  opcode: u8,
  flags: u8,
  page: u8,
  subpage: u8,
  allocationLength: u8,
  control: u8
})
const modeSense10Cdb = defineLayout(10, {
  opcode: u8,
  flags: u8,
  page: u8,
  subpage: u8,
  reserved: bytes(3),
  allocationLength: u16,
  control: u8
})
const view6 = modeSense6Cdb.view()
const view10 = modeSense10Cdb.view()

/** DBD: no block descriptor. */
const FLAG_DBD = 0x08
/** LLBAA: the block descriptor may be the long one. */
const FLAG_LLBAA = 0x10
const PAGE_BYTE = 2
const PAGE_MASK = 0x3f
/** PAGE CONTROL, bits 7-6 of byte 2. */
const CHANGEABLE = 1
const DEFAULT = 2
const SAVED = 3

/** MODE SENSE(6), SPC-4 §6.13. */
export const modeSense6 = defineCommand(
  {
    opcode: 0x1a,
    name: 'MODE SENSE(6)',
    usage: [0x1a, FLAG_DBD, 0xff, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    allowedUnderReservation: 'write-exclusive',
    execute(task, unit) {
      const { flags, page, subpage, allocationLength } = view6.at(task.cdb)
      const pages = readPages(task, unit, page, subpage)
      if (!pages) return
      const descriptor = flags & FLAG_DBD ? NO_BYTES : shortDescriptor(unit)
      const length = 3 + descriptor.length + pages.length
      const header = Buffer.from([length, 0, deviceSpecific(unit), descriptor.length])
      task.reply(Buffer.concat([header, descriptor, pages]), allocationLength)
    }
  },
  modeSense6Cdb
)

/** MODE SENSE(10), SPC-4 §6.14. */
export const modeSense10 = defineCommand(
  {
    opcode: 0x5a,
    name: 'MODE SENSE(10)',
    usage: [0x5a, FLAG_LLBAA | FLAG_DBD, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    allowedUnderReservation: 'write-exclusive',
    execute(task, unit) {
      const { flags, page, subpage, allocationLength } = view10.at(task.cdb)
      const pages = readPages(task, unit, page, subpage)
      if (!pages) return
      const long = (flags & FLAG_LLBAA) !== 0 && (flags & FLAG_DBD) === 0
      const descriptor = flags & FLAG_DBD ? NO_BYTES : long ? longDescriptor(unit) : shortDescriptor(unit)
      const header = Buffer.alloc(8)
      header.writeUInt16BE(6 + descriptor.length + pages.length, 0)
      header[3] = deviceSpecific(unit)
      header[4] = long ? LONG_LBA : 0
      header.writeUInt16BE(descriptor.length, 6)
      task.reply(Buffer.concat([header, descriptor, pages]), allocationLength)
    }
  },
  modeSense10Cdb
)

const NO_BYTES = Buffer.alloc(0)
/** LONGLBA in the header: the descriptor has 16 bytes. */
const LONG_LBA = 0x01
/** DEVICE-SPECIFIC PARAMETER (SBC-3 §6.5.1). */
const WRITE_PROTECTED = 0x80
const DPOFUA = 0x10

function deviceSpecific(unit: LogicalUnit): number {
  return DPOFUA | (unit.writeProtected ? WRITE_PROTECTED : 0)
}

/** SBC-3 §6.5.2.2; a count that needs more than four bytes is said to be the greatest that they hold. */
function shortDescriptor(unit: LogicalUnit): Buffer {
  const descriptor = Buffer.alloc(8)
  descriptor.writeUInt32BE(Math.min(unit.blockCount, 0xffffffff), 0)
  descriptor.writeUInt32BE(unit.blockSize, 4)
  return descriptor
}

/** SBC-3 §6.5.2.3. */
function longDescriptor(unit: LogicalUnit): Buffer {
  const descriptor = Buffer.alloc(16)
  descriptor.writeBigUInt64BE(BigInt(unit.blockCount), 0)
  descriptor.writeUInt32BE(unit.blockSize, 12)
  return descriptor
}

/** The pages' bytes, or undefined when the task has ended with what is wrong. */
function readPages(task: Task, unit: LogicalUnit, pageByte: number, subpage: number): Buffer | undefined {
  const pageControl = pageByte >>> 6
  const pages = selectModePages(unit, pageByte & PAGE_MASK, subpage)
  if (pages.length === 0) return void invalidCdbField(task, PAGE_BYTE, 5)
  if (pageControl === SAVED) return void task.check(SAVING_NOT_SUPPORTED)
  return Buffer.concat(pages.map((page) => pageBytes(page, unit, pageControl)))
}

function pageBytes(page: ModePage, unit: LogicalUnit, pageControl: number): Buffer {
  const bytes = page.build(unit, pageControl === DEFAULT ? unit.defaultModes : unit)
  if (pageControl !== CHANGEABLE) return bytes
  const headerLength = page.subpage === 0 ? 2 : 4
  const mask = Buffer.from(page.changeable?.(unit) ?? Buffer.alloc(bytes.length))
  bytes.copy(mask, 0, 0, headerLength)
  return mask
}
