import { defineLayout, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { MEDIUM_REMOVAL_PREVENTED } from '../sense.js'
import { Status } from '../status.js'
import type { Task } from '../task.js'
import { flushFor } from './synchronize-cache.js'

const cdb = defineLayout(6, { opcode: u8, flags: u8, reserved: u8, modifier: u8, action: u8, control: u8 })
const view = cdb.view()

const FLAG_IMMED = 0x01
const FLAG_START = 0x01
const FLAG_LOEJ = 0x02
const FLAG_NO_FLUSH = 0x04
const POWER_CONDITION_MASK = 0xf0

/**
 * START STOP UNIT, SBC-3 §5.25. There is no motor: a stop makes everything durable, and all else is good. A stopped
 * unit goes on answering, as do those of other servers, and its delta is kept. Only a removable medium can be ejected.
 */
export const startStopUnit = defineCommand(
  {
    opcode: 0x1b,
    name: 'START STOP UNIT',
    usage: [0x1b, FLAG_IMMED, 0x00, 0x0f, 0xf7, 0x00],
    access: 'none',
    medium: false,
    // SBC-3 table 13: a plain start is allowed, all else is the holder's.
    allowedUnderReservation: 'always',
    execute(task, unit) {
      const { flags, action } = view.at(task.cdb)
      const moves = unit.medium !== undefined && (action & (POWER_CONDITION_MASK | FLAG_LOEJ)) === FLAG_LOEJ
      if (moves) return moveMedium(task, unit, flags, action)
      const start = (action & (POWER_CONDITION_MASK | FLAG_START)) === FLAG_START
      if (start) {
        unit.startStop(true, task)
        return task.good()
      }
      if (unit.reservations.excludes(task.nexus)) return task.end(Status.ReservationConflict)
      const stop = (action & (POWER_CONDITION_MASK | FLAG_START | FLAG_NO_FLUSH)) === 0
      unit.startStop(false, task)
      if (stop) flushFor(task, unit, (flags & FLAG_IMMED) !== 0)
      else task.good()
    }
  },
  cdb
)

/** LOEJ: eject, or load with START. While anybody prevents removal the tray stays where it is. */
function moveMedium(task: Task, unit: LogicalUnit, flags: number, action: number): void {
  if (unit.reservations.excludes(task.nexus)) return task.end(Status.ReservationConflict)
  if (unit.medium!.removalPrevented) return task.check(MEDIUM_REMOVAL_PREVENTED)
  const load = (action & FLAG_START) !== 0
  unit.startStop(load, task)
  unit.setMediumPresent(load, task.nexus)
  if (load || (action & FLAG_NO_FLUSH) !== 0) task.good()
  else flushFor(task, unit, (flags & FLAG_IMMED) !== 0)
}
