import { bytes, defineLayout, u16, u32, u64, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import { LBA_OUT_OF_RANGE } from '../sense.js'
import type { Task } from '../task.js'

const capacity10Cdb = defineLayout(10, { opcode: u8, obsolete: u8, lba: u32, reserved: u16, flags: u8, control: u8 })
const capacity16Cdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  lba: u64,
  allocationLength: u32,
  flags: u8,
  control: u8
})
const view10 = capacity10Cdb.view()
const view16 = capacity16Cdb.view()

const LBA_BYTE = 2
/** PMI: the last block before a delay would begin; on a disk like this one that is always the last block. */
const FLAG_PMI = 0x01
const CAPACITY_10_LENGTH = 8
/** Said instead of a last LBA that needs more than four bytes. */
const TOO_LARGE = 0xffffffff

/** READ CAPACITY(10), SBC-3 §5.15. */
export const readCapacity10 = defineCommand(
  {
    opcode: 0x25,
    name: 'READ CAPACITY(10)',
    usage: [0x25, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, FLAG_PMI, 0x00],
    access: 'none',
    medium: false,
    needsReadiness: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task, unit) {
      const { lba, flags } = view10.at(task.cdb)
      if (!mayAsk(task, unit, lba, flags)) return
      const data = Buffer.alloc(CAPACITY_10_LENGTH)
      data.writeUInt32BE(Math.min(lastLba(unit), TOO_LARGE), 0)
      data.writeUInt32BE(unit.blockSize, 4)
      task.reply(data, CAPACITY_10_LENGTH)
    }
  },
  capacity10Cdb
)

/** SBC-3 table 66. */
const capacity16 = defineLayout(32, {
  lastLba: u64,
  blockSize: u32,
  protection: u8,
  physicalBlockExponent: u8,
  provisioning: u16,
  reserved: bytes(16)
})

/** LBPME: not fully provisioned. LBPRZ: what is unmapped reads as zeroes. The lowest aligned LBA is 0. */
export const THIN_READS_ZEROES = 0xc000

/** READ CAPACITY(16), SBC-3 §5.16. */
export const readCapacity16 = defineCommand(
  {
    opcode: 0x9e,
    serviceAction: 0x10,
    name: 'READ CAPACITY(16)',
    usage: [0x9e, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, FLAG_PMI, 0x00],
    access: 'none',
    medium: false,
    needsReadiness: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task, unit) {
      const { lba, flags, allocationLength } = view16.at(task.cdb)
      if (!mayAsk(task, unit, lba, flags)) return
      const data = capacity16.make({
        lastLba: lastLba(unit),
        blockSize: unit.blockSize,
        physicalBlockExponent: Math.log2(unit.physicalBlockSize / unit.blockSize),
        provisioning: unit.thin ? THIN_READS_ZEROES : 0
      })
      task.reply(data, allocationLength)
    }
  },
  capacity16Cdb
)

/** Judges LBA and PMI (SBC-2 §5.12), and tells that the client has looked. */
function mayAsk(task: Task, unit: LogicalUnit, lba: number, flags: number): boolean {
  const partial = (flags & FLAG_PMI) !== 0
  if (!partial && lba !== 0) invalidCdbField(task, LBA_BYTE)
  else if (lba > lastLba(unit)) task.check(LBA_OUT_OF_RANGE)
  else {
    task.nexus.looked(task.nexus.units.get(task.lun)!, 'read-capacity')
    return true
  }
  return false
}

function lastLba(unit: LogicalUnit): number {
  return Math.max(unit.blockCount - 1, 0)
}
