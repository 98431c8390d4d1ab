import { bytes, defineLayout, u32, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'

const cdb = defineLayout(16, { opcode: u8, serviceAction: u8, listId: u32, reserved: bytes(9), control: u8 })
const view = cdb.view()

const LIST_ID_BYTE = 2

/**
 * COPY OPERATION ABORT, SPC-4 §6.3: the copy ends at its next piece. Copies are all in the foreground, so it is the command
 * that began it whose end says that nothing moves any more (§5.17.4.7).
 */
export const copyOperationAbort = defineCommand(
  {
    opcode: 0x83,
    serviceAction: 0x1c,
    name: 'COPY OPERATION ABORT',
    usage: [0x83, 0x1f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00],
    access: 'none',
    medium: false,
    allowedUnderReservation: 'always',
    execute(task) {
      const result = task.nexus.copies.get(view.at(task.cdb).listId)
      if (result?.state !== 'running') return invalidCdbField(task, LIST_ID_BYTE, 7)
      result.cancelled = true
      task.good()
    }
  },
  cdb
)
