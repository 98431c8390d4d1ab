import { defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'

const cdb = defineLayout(6, { opcode: u8, flags: u8, reserved: u8, parameterListLength: u16, control: u8 })
const view = cdb.view()

const PARAMETER_LIST_LENGTH_BYTE = 3
/** PF, SELFTEST, DEVOFFL, UNITOFFL. Self-test codes other than the default test are not there. */
const FLAGS = 0x17

/** SEND DIAGNOSTIC, SPC-4 §6.42: the default self-test, which finds nothing, and no diagnostic pages. */
export const sendDiagnostic = defineCommand(
  {
    opcode: 0x1d,
    name: 'SEND DIAGNOSTIC',
    usage: [0x1d, FLAGS, 0x00, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'never',
    execute(task) {
      if (view.at(task.cdb).parameterListLength > 0) invalidCdbField(task, PARAMETER_LIST_LENGTH_BYTE, 7)
      else task.good()
    }
  },
  cdb
)
