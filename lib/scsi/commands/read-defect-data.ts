import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'

const defectData10Cdb = defineLayout(10, {
  opcode: u8,
  reserved: u8,
  format: u8,
  moreReserved: u32,
  allocationLength: u16,
  control: u8
})
const defectData12Cdb = defineLayout(12, {
  opcode: u8,
  format: u8,
  index: u32,
  allocationLength: u32,
  reserved: bytes(1),
  control: u8
})
const view10 = defectData10Cdb.view()
const view12 = defectData12Cdb.view()

/** Which lists are wanted (bits 4-3) and in which format (bits 2-0); the answer repeats both. */
const FORMAT_MASK = 0x1f

/** READ DEFECT DATA(10), SBC-3 §5.17: a file has no defects, so the list is empty in every format. */
export const readDefectData10 = defineCommand(
  {
    opcode: 0x37,
    name: 'READ DEFECT DATA(10)',
    usage: [0x37, 0x00, FORMAT_MASK, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'write-exclusive',
    execute(task) {
      const { format, allocationLength } = view10.at(task.cdb)
      task.reply(Buffer.from([0, format, 0, 0]), allocationLength)
    }
  },
  defectData10Cdb
)

/** READ DEFECT DATA(12), SBC-3 §5.18. */
export const readDefectData12 = defineCommand(
  {
    opcode: 0xb7,
    name: 'READ DEFECT DATA(12)',
    usage: [0xb7, FORMAT_MASK, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'write-exclusive',
    execute(task) {
      const { format, allocationLength } = view12.at(task.cdb)
      task.reply(Buffer.from([0, format, 0, 0, 0, 0, 0, 0]), allocationLength)
    }
  },
  defectData12Cdb
)
