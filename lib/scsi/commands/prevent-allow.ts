import { defineLayout, bytes, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import { Status } from '../status.js'

const cdb = defineLayout(6, { opcode: u8, reserved: bytes(3), prevent: u8, control: u8 })
const view = cdb.view()

const PREVENT_BYTE = 4
const ALLOWED = 0
const PREVENTED = 1

/** PREVENT ALLOW MEDIUM REMOVAL, SBC-3 §5.10. Where it cannot be removed anyway both are good. */
export const preventAllow = defineCommand(
  {
    opcode: 0x1e,
    name: 'PREVENT ALLOW MEDIUM REMOVAL',
    usage: [0x1e, 0x00, 0x00, 0x00, 0x03, 0x00],
    access: 'none',
    medium: false,
    // SPC-4 table 65: allowing is for all, preventing is the holder's.
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task, unit) {
      const { prevent } = view.at(task.cdb)
      if (prevent > PREVENTED) return invalidCdbField(task, PREVENT_BYTE, 1)
      if (prevent !== ALLOWED && unit.reservations.excludes(task.nexus)) return task.end(Status.ReservationConflict)
      if (prevent === PREVENTED) unit.medium?.prevent(task.nexus)
      else unit.medium?.allow(task.nexus)
      task.good()
    }
  },
  cdb
)
