import { defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { LUN_NOT_SUPPORTED, NO_SENSE, encodeSense, type SenseCondition } from '../sense.js'
import type { Task } from '../task.js'

const cdb = defineLayout(6, { opcode: u8, flags: u8, reserved: u16, allocationLength: u8, control: u8 })
const view = cdb.view()

/** DESC: sense data in descriptor format. */
const FLAG_DESC = 0x01

/** REQUEST SENSE, SPC-4 §6.39. Sense data goes with its CHECK CONDITION, so only a unit attention can be left to tell. */
export const requestSense = defineCommand(
  {
    opcode: 0x03,
    name: 'REQUEST SENSE',
    usage: [0x03, FLAG_DESC, 0x00, 0x00, 0xff, 0x00],
    access: 'none',
    medium: false,
    ignoresUnitAttention: true,
    withoutUnit: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task) {
      const { flags, allocationLength } = view.at(task.cdb)
      task.reply(encodeSense(takeSense(task), {}, (flags & FLAG_DESC) !== 0), allocationLength)
    }
  },
  cdb
)

function takeSense(task: Task): SenseCondition {
  const entry = task.nexus.units.get(task.lun)
  if (!entry) return LUN_NOT_SUPPORTED
  return entry.takeAttention() ?? NO_SENSE
}
