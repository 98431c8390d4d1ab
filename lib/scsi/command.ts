import type { Definition } from '../layout/layout.js'
import type { BlockIo } from '../volume/block-io.js'
import { assert } from '../util/assert.js'
import type { LogicalUnit } from './logical-unit.js'
import type { Task } from './task.js'

/**
 * The record that says how one operation code (with its service action, where it has one) is done. Dispatch, the
 * reservation and write-protection checks, the log's names and REPORT SUPPORTED OPERATION CODES are all read from it.
 */
export interface Command {
  readonly opcode: number
  /** For operation codes that share an opcode (9Eh, A3h, 5Eh …): bits 4-0 of byte 1. */
  readonly serviceAction?: number
  /** As the standard spells it, e.g. `READ(10)`. */
  readonly name: string
  /**
   * CDB usage data (SPC-4 §6.35.3): one mask a CDB byte with a 1 for each bit that is evaluated; byte 0 is the
   * opcode. A CDB that sets any other bit ends with INVALID FIELD IN CDB and points at the first one.
   */
  readonly usage: readonly number[]
  /** What it does to the medium: decides the reservation check, write protection and the kind of medium error. */
  readonly access: 'none' | 'read' | 'write'
  /** True when it needs the medium's content; refused while a nexus is fenced off a lost delta, or without medium. */
  readonly medium: boolean
  /** Runs even with a unit attention pending, which it neither reports nor clears (SAM-5 §5.14). */
  readonly ignoresUnitAttention?: boolean
  /** Needs no content, but a medium: refused without one (TEST UNIT READY, READ CAPACITY). */
  readonly needsReadiness?: boolean
  /** Answered while a sanitize operation runs, and after one that failed (SBC-3 §4.11.2). */
  readonly duringSanitize?: boolean
  /** Runs on a LUN without unit: INQUIRY, REPORT LUNS, REQUEST SENSE (SPC-4 §6.6, §6.33, §6.39). `unit` is undefined. */
  readonly withoutUnit?: boolean
  /** Allowed for others while somebody holds a reservation (SPC-4 table 65); default: by `access`. */
  readonly allowedUnderReservation?: 'always' | 'write-exclusive' | 'never'
  /** Allowed for others while somebody holds a RESERVE (SPC-2 §5.5.1). */
  readonly allowedUnderReserve?: boolean
  /** Recommended time-out that REPORT SUPPORTED OPERATION CODES gives, in seconds; default 30. */
  readonly timeoutSeconds?: number
  /** Runs alone in its task set, whatever its task attribute: compare and write, and the like. */
  readonly alone?: boolean
  /** Without it every unit has the command; where it says no, the operation code is an invalid one. */
  supported?(unit: LogicalUnit): boolean
  /** Judges the CDB and starts the command: ends with one of the task's good/check/reply/readMedium/gather/run …. */
  execute(task: Task, unit: LogicalUnit): void
  /** Takes a piece of Data-Out at `at`; false = would block. Without it gathered data and medium writes are the task's. */
  receive?(task: Task, unit: LogicalUnit, buffer: Buffer, start: number, length: number, at: number): boolean
  /** Takes a piece that `receive` found blocking: `io` holds a copy and must be completed. */
  receiveLater?(task: Task, unit: LogicalUnit, io: BlockIo): void
  /** All Data-Out is here. */
  finish?(task: Task, unit: LogicalUnit): void
}

/** Checks a record when the module loads: the usage map has the length of the CDB and names its own opcode. */
export function defineCommand<C extends Command>(command: C, cdb: Definition<never> | { readonly length: number }): C {
  assert(command.usage.length === cdb.length, `${command.name}: usage map of ${command.usage.length} bytes`)
  assert(command.usage[0] === command.opcode, `${command.name}: usage map starts with another opcode`)
  return command
}
