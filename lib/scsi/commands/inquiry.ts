import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import { ascii } from '../ascii.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import type { Task } from '../task.js'
import { vpdPages } from '../vpd/index.js'
import { vpdPage } from '../vpd/page.js'

const cdb = defineLayout(6, { opcode: u8, flags: u8, page: u8, allocationLength: u16, control: u8 })
const view = cdb.view()

const FLAG_EVPD = 0x01
const PAGE_BYTE = 2
/** Qualifier 000b, type 00h: a direct access block device that is there. */
const DIRECT_ACCESS = 0x00
/** Qualifier 011b, type 1Fh: nothing can be there. */
const NO_UNIT = 0x7f
const SUPPORTED_PAGES = 0x00

/** INQUIRY, SPC-4 §6.6; answers for any LUN. */
export const inquiry = defineCommand(
  {
    opcode: 0x12,
    name: 'INQUIRY',
    usage: [0x12, FLAG_EVPD, 0xff, 0xff, 0xff, 0x00],
    access: 'none',
    medium: false,
    duringSanitize: true,
    ignoresUnitAttention: true,
    withoutUnit: true,
    allowedUnderReservation: 'always',
    allowedUnderReserve: true,
    execute(task, unit: LogicalUnit | undefined) {
      const { flags, page, allocationLength } = view.at(task.cdb)
      const vital = (flags & FLAG_EVPD) !== 0
      if (!vital && page !== 0) return invalidCdbField(task, PAGE_BYTE)
      const data = !vital ? standardData(unit) : unit ? pageOf(task, unit, page) : pageWithoutUnit(page)
      if (!data) return invalidCdbField(task, PAGE_BYTE)
      // Only a client that finds the disk asks for the standard data. Linux reads all VPD pages of a disk that it has
      // mounted at each reconnect, and then goes on writing what it has cached.
      const entry = vital ? undefined : task.nexus.units.get(task.lun)
      if (entry) task.nexus.looked(entry, 'inquiry')
      task.reply(data, allocationLength)
    }
  },
  cdb
)

/** SPC-4 §6.6.2. */
const standard = defineLayout(96, {
  peripheral: u8,
  removable: u8,
  version: u8,
  format: u8,
  additionalLength: u8,
  flags5: u8,
  flags6: u8,
  flags7: u8,
  vendor: bytes(8),
  product: bytes(16),
  revision: bytes(4),
  vendorSpecific: bytes(20),
  clocking: u8,
  reserved57: u8,
  architecture: u16,
  primaryCommands: u16,
  blockCommands: u16,
  transport: u16,
  moreDescriptors: bytes(8),
  reserved74: bytes(22)
})

const VERSION_SPC_4 = 0x06
/** HISUP: LUNs as REPORT LUNS gives them; response data format 2. */
const HISUP_FORMAT_2 = 0x12
const ADDITIONAL_LENGTH = standard.length - 5
const FLAG_RMB = 0x80
/** EXTENDED COPY and RECEIVE COPY RESULTS work. */
const FLAG_3PC = 0x08
const FLAG_CMDQUE = 0x02
/** Version descriptors (SPC-4 table 142), none with a revision claimed. */
const SAM_5 = 0x00a0
const SPC_4 = 0x0460
const SBC_3 = 0x04c0
const ISCSI = 0x0960

function standardData(unit: LogicalUnit | undefined): Buffer {
  const { vendor = '', product = '', revision = '' } = unit?.identity ?? {}
  return standard.make({
    peripheral: unit ? DIRECT_ACCESS : NO_UNIT,
    removable: unit?.medium ? FLAG_RMB : 0,
    version: VERSION_SPC_4,
    format: HISUP_FORMAT_2,
    additionalLength: ADDITIONAL_LENGTH,
    flags5: unit ? FLAG_3PC : 0,
    flags7: FLAG_CMDQUE,
    vendor: ascii(vendor, 8),
    product: ascii(product, 16),
    revision: ascii(revision, 4),
    architecture: SAM_5,
    primaryCommands: SPC_4,
    blockCommands: SBC_3,
    transport: ISCSI
  })
}

function pageOf(task: Task, unit: LogicalUnit, code: number): Buffer | undefined {
  const page = vpdPages.find((one) => one.code === code)
  return page && vpdPage(DIRECT_ACCESS, code, page.build(unit, task.nexus))
}

/** Where no unit is, there is nothing to describe but the list that says so. */
function pageWithoutUnit(code: number): Buffer | undefined {
  return code === SUPPORTED_PAGES ? vpdPage(NO_UNIT, code, Buffer.from([SUPPORTED_PAGES])) : undefined
}
