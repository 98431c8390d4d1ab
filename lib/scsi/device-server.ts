import type { Command } from './command.js'
import { commands } from './commands/index.js'
import { invalidCdbField } from './invalid-field.js'
import type { LogicalUnit } from './logical-unit.js'
import type { NexusUnit } from './nexus.js'
import { INVALID_OPCODE, LUN_NOT_SUPPORTED, WRITE_PROTECTED, type SenseCondition } from './sense.js'
import { Status } from './status.js'
import { TaskState, type Task } from './task.js'

/**
 * The task router and device server (SAM-5 §4.6.8, §4.6.23): LUN → unit, operation code → command, and the gate in
 * between, written once. The order of the gate: a missing unit, an unknown command, a unit attention, a reservation,
 * a bad CDB, a unit that is not ready, a fence, write protection.
 */
export class DeviceServer {
  private readonly table = buildTable(commands)

  /** Starts the command in `task.cdb`; afterwards `task.state` says how it goes on. */
  start(task: Task): void {
    const entry = task.nexus.units.get(task.lun)
    const command = this.find(task.cdb)
    if (!entry) return startWithoutUnit(task, command)
    task.unit = entry.unit
    if (!entry.unit.taskSet.enter(task, command?.alone ?? false, this.startBlocked)) {
      task.command = command
      return
    }
    this.run(task, entry, command)
  }

  /** The task has ended and its response is on its way, or will never be sent: it may be used for the next command. */
  release(task: Task): void {
    task.unit?.taskSet.leave(task)
    task.reset()
  }

  /** The record for the CDB, or undefined when the operation code or service action is not supported. */
  find(cdb: Buffer): Command | undefined {
    const entry = this.table[cdb[0]!]
    return entry instanceof Map ? entry.get(cdb[1]! & 0x1f) : entry
  }

  /** An opcode that is known, but not with this service action, is an invalid field (SPC-4 §4.3.4.1). */
  private refuse(task: Task): void {
    if (this.table[task.cdb[0]!] === undefined) return checkOpcode(task)
    invalidCdbField(task, 1, 4)
  }

  private readonly startBlocked = (task: Task): void => {
    const entry = task.nexus.units.get(task.lun)
    task.state = TaskState.Idle
    if (entry) this.run(task, entry, task.command)
    else task.check(LUN_NOT_SUPPORTED)
    task.owner.taskReady(task)
  }

  private run(task: Task, entry: NexusUnit, command: Command | undefined): void {
    task.command = command
    if (!command) return this.refuse(task)
    const unit = entry.unit
    if (command.supported && !command.supported(unit)) return checkOpcode(task)
    if (entry.attention !== undefined && !command.ignoresUnitAttention) return task.check(entry.takeAttention()!)
    if (unit.reservations.conflicts(task.nexus, command)) return task.end(Status.ReservationConflict)
    const stray = strayBit(task.cdb, command.usage)
    if (stray >= 0) {
      return invalidCdbField(task, stray >> 3, stray & 7)
    }
    if (unit.notReady && !mayRunUnready(unit, command)) return task.check(unit.notReady, unit.notReadyDetail)
    if (command.medium) {
      const refusal = mediumRefusal(entry, unit, command)
      if (refusal) return task.check(refusal)
    }
    command.execute(task, unit)
  }
}

function checkOpcode(task: Task): void {
  task.check(INVALID_OPCODE, { field: { inCdb: true, byte: 0 } })
}

/** Without medium only what needs one is refused; a sanitize operation refuses all but a few. */
function mayRunUnready(unit: LogicalUnit, command: Command): boolean {
  if (unit.sanitize) return command.duringSanitize === true
  return !command.medium && command.needsReadiness !== true
}

function mediumRefusal(entry: NexusUnit, unit: LogicalUnit, command: Command): SenseCondition | undefined {
  if (entry.fenced) return LUN_NOT_SUPPORTED
  if (command.access === 'write' && unit.writeProtected) return WRITE_PROTECTED
  return undefined
}

function startWithoutUnit(task: Task, command: Command | undefined): void {
  task.command = command
  if (!command?.withoutUnit) return task.check(LUN_NOT_SUPPORTED)
  const stray = strayBit(task.cdb, command.usage)
  if (stray >= 0) return invalidCdbField(task, stray >> 3, stray & 7)
  // The three commands that answer for a LUN without unit know that `unit` is undefined for them.
  command.execute(task, undefined as unknown as LogicalUnit)
}

/** byte × 8 + bit of the first bit that the CDB sets although the command does not evaluate it, or -1. */
function strayBit(cdb: Buffer, usage: readonly number[]): number {
  for (let byte = 1; byte < usage.length; byte++) {
    const stray = cdb[byte]! & ~usage[byte]!
    if (stray !== 0) return byte * 8 + (31 - Math.clz32(stray))
  }
  return -1
}

function buildTable(list: readonly Command[]): (Command | Map<number, Command> | undefined)[] {
  const table = new Array<Command | Map<number, Command> | undefined>(256).fill(undefined)
  for (const command of list) {
    if (command.serviceAction === undefined) {
      table[command.opcode] = command
      continue
    }
    const actions = (table[command.opcode] ??= new Map<number, Command>()) as Map<number, Command>
    actions.set(command.serviceAction, command)
  }
  return table
}
