import { defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import { logPages } from '../log/index.js'
import { logPage } from '../log/page.js'

const cdb = defineLayout(10, {
  opcode: u8,
  flags: u8,
  page: u8,
  subpage: u8,
  reserved: u8,
  parameterPointer: u16,
  allocationLength: u16,
  control: u8
})
const view = cdb.view()

const PAGE_BYTE = 2
const PAGE_MASK = 0x3f
const POINTER_BYTE = 5

/** LOG SENSE, SPC-4 §6.8. SP stays out of the usage map: nothing can be saved. Page control changes nothing here. */
export const logSense = defineCommand(
  {
    opcode: 0x4d,
    name: 'LOG SENSE',
    usage: [0x4d, 0x00, 0xff, 0xff, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task, unit) {
      const { page, subpage, parameterPointer, allocationLength } = view.at(task.cdb)
      const found = logPages.find((one) => one.code === (page & PAGE_MASK) && one.subpage === subpage)
      if (!found || found.supported?.(unit) === false) return invalidCdbField(task, PAGE_BYTE, 5)
      const parameters = found.parameters(unit)
      // The lists of pages have no parameter codes; there the pointer can only be zero.
      const wanted = parameterPointer === 0 ? parameters : parameters.filter(({ code }) => code >= parameterPointer)
      if (wanted.length === 0) return invalidCdbField(task, POINTER_BYTE, 7)
      task.reply(logPage(found, wanted), allocationLength)
    }
  },
  cdb
)
