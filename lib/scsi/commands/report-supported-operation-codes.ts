import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import type { Task } from '../task.js'

const cdb = defineLayout(12, {
  opcode: u8,
  serviceAction: u8,
  options: u8,
  requestedOpcode: u8,
  requestedServiceAction: u16,
  allocationLength: u32,
  reserved: u8,
  control: u8
})
const view = cdb.view()

/** RCTD: command timeouts descriptors are wanted. */
const FLAG_RCTD = 0x80
const OPTIONS_BYTE = 2
const SERVICE_ACTION_BYTE = 4
/** REPORTING OPTIONS (SPC-4 table 285). */
const ReportingOption = { All: 0, Opcode: 1, ServiceAction: 2, Either: 3 } as const
const DEFAULT_TIMEOUT_SECONDS = 30

/** SPC-4 table 287. */
const commandDescriptor = defineLayout(8, {
  opcode: u8,
  reserved: u8,
  serviceAction: u16,
  moreReserved: u8,
  flags: u8,
  cdbLength: u16
})
const FLAG_SERVACTV = 0x01
const FLAG_CTDP = 0x02

/** SPC-4 table 290, and its CTDP bit in the one_command format. */
const timeoutsDescriptor = defineLayout(12, { length: u16, reserved: bytes(2), nominal: u32, recommended: u32 })
const ONE_COMMAND_CTDP = 0x80
const Support = { None: 1, Standard: 3 } as const

/** REPORT SUPPORTED OPERATION CODES, SPC-4 §6.35: read from the command records, which are passed in. */
export function reportSupportedOperationCodes(all: () => readonly Command[]): Command {
  return defineCommand(
    {
      opcode: 0xa3,
      serviceAction: 0x0c,
      name: 'REPORT SUPPORTED OPERATION CODES',
      usage: [0xa3, 0x1f, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
      access: 'none',
      medium: false,
      duringSanitize: true,
      allowedUnderReservation: 'write-exclusive',
      execute(task, unit) {
        const { options, allocationLength } = view.at(task.cdb)
        const timeouts = (options & FLAG_RCTD) !== 0
        const known = all().filter((command) => command.supported?.(unit) ?? true)
        if ((options & 7) === ReportingOption.All) {
          return task.reply(allCommands(known, timeouts), allocationLength)
        }
        const data = oneCommand(task, unit, known, timeouts)
        if (data) task.reply(data, allocationLength)
      }
    },
    cdb
  )
}

function allCommands(known: readonly Command[], timeouts: boolean): Buffer {
  const descriptors = known.flatMap((command) => {
    const hasAction = command.serviceAction !== undefined
    const descriptor = commandDescriptor.make({
      opcode: command.opcode,
      serviceAction: command.serviceAction ?? 0,
      flags: (hasAction ? FLAG_SERVACTV : 0) | (timeouts ? FLAG_CTDP : 0),
      cdbLength: command.usage.length
    })
    return timeouts ? [descriptor, timeoutsOf(command)] : [descriptor]
  })
  const body = Buffer.concat(descriptors)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  return Buffer.concat([header, body])
}

/** The answer for one command, or undefined when the task has ended with what is wrong. */
function oneCommand(task: Task, _unit: LogicalUnit, known: readonly Command[], timeouts: boolean): Buffer | undefined {
  const { options, requestedOpcode, requestedServiceAction } = view.at(task.cdb)
  const option = options & 7
  if (option > ReportingOption.Either) return void invalidCdbField(task, OPTIONS_BYTE, 2)
  const sameOpcode = known.filter((command) => command.opcode === requestedOpcode)
  const hasActions = sameOpcode.some((command) => command.serviceAction !== undefined)
  const misasked = sameOpcode.length > 0 && option !== ReportingOption.Either
  // SPC-4 table 285: an opcode with service actions must be asked for with one, and one without, without.
  if (misasked && hasActions !== (option === ReportingOption.ServiceAction)) {
    return void invalidCdbField(task, hasActions ? OPTIONS_BYTE : SERVICE_ACTION_BYTE)
  }
  const command = hasActions
    ? sameOpcode.find((one) => one.serviceAction === requestedServiceAction)
    : option === ReportingOption.Opcode || requestedServiceAction === 0
      ? sameOpcode[0]
      : undefined
  return command ? describe(command, timeouts) : Buffer.from([0, Support.None, 0, 0])
}

function describe(command: Command, timeouts: boolean): Buffer {
  const header = Buffer.from([0, (timeouts ? ONE_COMMAND_CTDP : 0) | Support.Standard, 0, command.usage.length])
  return Buffer.concat([header, usageData(command), ...(timeouts ? [timeoutsOf(command)] : [])])
}

/** SPC-4 §6.35.3: where the mask would be, byte 0 has the opcode, and byte 1 the service action in its field. */
function usageData(command: Command): Buffer {
  const usage = Buffer.from(command.usage)
  if (command.serviceAction !== undefined) usage[1] = (usage[1]! & 0xe0) | command.serviceAction
  return usage
}

function timeoutsOf(command: Command): Buffer {
  return timeoutsDescriptor.make({ length: 0x0a, recommended: command.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS })
}
