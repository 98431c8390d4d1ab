import { bytes, defineLayout, u32, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'

const cdb = defineLayout(12, {
  opcode: u8,
  serviceAction: u8,
  flags: u8,
  reserved: bytes(3),
  allocationLength: u32,
  moreReserved: u8,
  control: u8
})
const view = cdb.view()

/** REPD: the extended form is wanted. */
const FLAG_REPD = 0x80
/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET. */
const SUPPORTED = 0x80 | 0x40 | 0x10 | 0x08 | 0x02
const SHORT_LENGTH = 4
const EXTENDED_LENGTH = 16

/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, SPC-4 §6.36. No time-outs are promised (TMFTMOV=0). */
export const reportSupportedTaskManagement = defineCommand(
  {
    opcode: 0xa3,
    serviceAction: 0x0d,
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    usage: [0xa3, 0x1f, FLAG_REPD, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    allowedUnderReservation: 'write-exclusive',
    execute(task) {
      const { flags, allocationLength } = view.at(task.cdb)
      const extended = (flags & FLAG_REPD) !== 0
      const data = Buffer.alloc(extended ? EXTENDED_LENGTH : SHORT_LENGTH)
      data[0] = SUPPORTED
      data[3] = data.length - SHORT_LENGTH
      task.reply(data, allocationLength)
    }
  },
  cdb
)
