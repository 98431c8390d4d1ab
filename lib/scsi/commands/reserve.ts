import { defineCommand, type Command } from '../command.js'
import type { Nexus } from '../nexus.js'
import type { Reservations } from '../reservations.js'
import { Status } from '../status.js'
import { cdb10, rawCdb6 } from './cdb.js'

/**
 * RESERVE and RELEASE of the whole unit, SPC-2 §7.20 to §7.23. Third parties and extents are obsolete and stay out of
 * the usage maps. Reservations judge on their own who may, so the gate lets all through.
 */
export const reserve6 = define('RESERVE(6)', 0x16, 6, (reservations, nexus) => reservations.reserve(nexus))
export const release6 = define('RELEASE(6)', 0x17, 6, (reservations, nexus) => reservations.release(nexus))
export const reserve10 = define('RESERVE(10)', 0x56, 10, (reservations, nexus) => reservations.reserve(nexus))
export const release10 = define('RELEASE(10)', 0x57, 10, (reservations, nexus) => reservations.release(nexus))

function define(
  name: string,
  opcode: number,
  cdbLength: 6 | 10,
  act: (reservations: Reservations, nexus: Nexus) => boolean
): Command {
  return defineCommand(
    {
      opcode,
      name,
      usage: [opcode, ...new Array<number>(cdbLength - 1).fill(0)],
      access: 'none',
      medium: false,
      allowedUnderReservation: 'always',
      allowedUnderReserve: true,
      execute: (task, unit) => task.end(act(unit.reservations, task.nexus) ? Status.Good : Status.ReservationConflict)
    },
    cdbLength === 6 ? rawCdb6 : cdb10
  )
}
