import { defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { LUN_NOT_SUPPORTED, NO_SENSE, encodeSense, type SenseCondition, type SenseDetail } from '../sense.js'
import type { Task } from '../task.js'

const cdb = defineLayout(6, { opcode: u8, flags: u8, reserved: u16, allocationLength: u8, control: u8 })
const view = cdb.view()

/** DESC: sense data in descriptor format. */
const FLAG_DESC = 0x01

/** REQUEST SENSE, SPC-4 §6.39. Sense data goes with its CHECK CONDITION, so a unit attention
 * or a sanitize operation can be left to tell. */
export const requestSense = defineCommand(
  {
    opcode: 0x03,
    name: 'REQUEST SENSE',
    usage: [0x03, FLAG_DESC, 0x00, 0x00, 0xff, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    ignoresUnitAttention: true,
    withoutUnit: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task) {
      const { flags, allocationLength } = view.at(task.cdb)
      const [condition, detail] = takeSense(task)
      task.reply(encodeSense(condition, detail, (flags & FLAG_DESC) !== 0), allocationLength)
    }
  },
  cdb
)

/** SPC-4 §6.39: a unit attention, else why the unit is not ready. */
function takeSense(task: Task): [SenseCondition, SenseDetail?] {
  const entry = task.nexus.units.get(task.lun)
  if (!entry) return [LUN_NOT_SUPPORTED]
  const { sanitize } = entry.unit
  const attention = entry.takeAttention()
  if (attention) return [attention]
  return sanitize ? [sanitize.condition, sanitize.detail] : [NO_SENSE]
}
