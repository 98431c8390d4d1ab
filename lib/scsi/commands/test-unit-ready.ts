import { defineCommand } from '../command.js'
import { rawCdb6 } from './cdb.js'

/** TEST UNIT READY, SPC-4 §6.47. A unit that can be reached is ready. */
export const testUnitReady = defineCommand(
  {
    opcode: 0x00,
    name: 'TEST UNIT READY',
    usage: [0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
    access: 'none',
    medium: false,
    needsReadiness: true,
    allowedUnderReservation: 'always',
    execute: (task) => task.good()
  },
  rawCdb6
)
