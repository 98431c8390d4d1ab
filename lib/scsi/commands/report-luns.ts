import { bytes, defineLayout, u32, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import { LUN_LENGTH, writeLun } from '../lun.js'
import type { Nexus } from '../nexus.js'
import { REPORTED_LUNS_CHANGED } from '../sense.js'

const cdb = defineLayout(12, {
  opcode: u8,
  reserved: u8,
  selectReport: u8,
  moreReserved: bytes(3),
  allocationLength: u32,
  evenMoreReserved: u8,
  control: u8
})
const view = cdb.view()

const SELECT_BYTE = 2
/** SELECT REPORT (SPC-4 table 282): all but well known units; well known units, of which there are none; all. */
const ALL_BUT_WELL_KNOWN = 0x00
const WELL_KNOWN = 0x01
const ALL = 0x02

const HEADER_LENGTH = 8

/** REPORT LUNS, SPC-4 §6.33; the same answer on every LUN. */
export const reportLuns = defineCommand(
  {
    opcode: 0xa0,
    name: 'REPORT LUNS',
    usage: [0xa0, 0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    ignoresUnitAttention: true,
    withoutUnit: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task) {
      const { selectReport, allocationLength } = view.at(task.cdb)
      if (![ALL_BUT_WELL_KNOWN, WELL_KNOWN, ALL].includes(selectReport)) return invalidCdbField(task, SELECT_BYTE)
      // SAM-5 §5.14: who has the list has no need to be told that it changed.
      for (const entry of task.nexus.units.values()) entry.dropAttention(REPORTED_LUNS_CHANGED)
      task.reply(lunList(selectReport === WELL_KNOWN ? [] : lunsOf(task.nexus)), allocationLength)
    }
  },
  cdb
)

function lunsOf(nexus: Nexus): number[] {
  return [...nexus.units.keys()]
}

function lunList(luns: number[]): Buffer {
  const list = Buffer.alloc(HEADER_LENGTH + luns.length * LUN_LENGTH)
  list.writeUInt32BE(luns.length * LUN_LENGTH, 0)
  luns.forEach((lun, index) => writeLun(list, HEADER_LENGTH + index * LUN_LENGTH, lun))
  return list
}
