import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import { invalidCdbField, invalidParameter } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import { turn } from '../pieces.js'
import { SANITIZE_TASK, type Overwrite } from '../sanitize.js'
import { INVALID_FIELD_IN_INFORMATION_UNIT } from '../sense.js'
import type { Task } from '../task.js'

const cdb = defineLayout(10, { opcode: u8, flags: u8, reserved: bytes(5), parameterListLength: u16, control: u8 })
const view = cdb.view()

const FLAG_IMMED = 0x80
const FLAG_AUSE = 0x20
const PARAMETER_LENGTH_BYTE = 7
/** A day: an overwrite of a large disk takes its time. */
const TIMEOUT_SECONDS = 86_400

/** SBC-3 table 75: the header of the parameter list of OVERWRITE; the pattern follows it. */
const HEADER_LENGTH = 4
const FLAG_INVERT = 0x80
const COUNT_MASK = 0x1f
/** TEST: vendor specific, so nothing but 00b can be meant here. */
const TEST_MASK = 0x60

/**
 * SANITIZE, SBC-3 §5.30; only where the operator allows it. Block erase and cryptographic erase do the same here: nothing
 * of what was on the medium can be read afterwards, and its space is given back. The base of a private view stays what it
 * is; it is the view that reads as zeroes.
 */
export const sanitizeOverwrite = define(0x01, 'SANITIZE, OVERWRITE', {
  execute(task, unit) {
    const { parameterListLength } = view.at(task.cdb)
    const fits = parameterListLength > HEADER_LENGTH && parameterListLength <= HEADER_LENGTH + unit.blockSize
    if (!fits) return invalidCdbField(task, PARAMETER_LENGTH_BYTE)
    task.gather(parameterListLength)
  },
  finish(task, unit) {
    if (task.received < task.parameters!.length) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
    const overwrite = readOverwrite(task, unit, task.parameters!)
    if (overwrite) begin(task, unit, overwrite)
  }
})
export const sanitizeBlockErase = define(0x02, 'SANITIZE, BLOCK ERASE', { execute: erase })
export const sanitizeCryptographicErase = define(0x03, 'SANITIZE, CRYPTOGRAPHIC ERASE', { execute: erase })
export const sanitizeExitFailureMode = define(0x1f, 'SANITIZE, EXIT FAILURE MODE', {
  execute(task, unit) {
    if (view.at(task.cdb).parameterListLength !== 0) return invalidCdbField(task, PARAMETER_LENGTH_BYTE)
    const { sanitize } = unit
    if (!sanitize) return task.good()
    if (!sanitize.failed) return task.check(sanitize.condition, sanitize.detail)
    // The operation that failed did not allow this way out (AUSE=0).
    if (!sanitize.mayExitFailure) return invalidCdbField(task, 1, 4)
    task.run(() => unit.exitSanitizeFailure())
  }
})

function define(
  serviceAction: number,
  name: string,
  steps: Pick<Command, 'execute'> & Partial<Pick<Command, 'finish'>>
): Command {
  return defineCommand(
    {
      opcode: 0x48,
      serviceAction,
      name,
      usage: [0x48, FLAG_IMMED | FLAG_AUSE | 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
      access: 'write',
      medium: true,
      // After a failure another operation may be tried; one at a time is seen to below.
      duringSanitize: true,
      timeoutSeconds: TIMEOUT_SECONDS,
      supported: (unit) => unit.maySanitize,
      ...steps
    },
    cdb
  )
}

function erase(task: Task, unit: LogicalUnit): void {
  if (view.at(task.cdb).parameterListLength !== 0) return invalidCdbField(task, PARAMETER_LENGTH_BYTE)
  begin(task, unit, undefined)
}

/** What the parameter list orders, or undefined when the task has ended with what is wrong. */
function readOverwrite(task: Task, unit: LogicalUnit, list: Buffer): Overwrite | undefined {
  const passes = list[0]! & COUNT_MASK
  if ((list[0]! & TEST_MASK) !== 0) return void invalidParameter(task, 0, 6)
  if (passes === 0) return void invalidParameter(task, 0, 4)
  const length = list.readUInt16BE(2)
  if (length === 0 || length > unit.blockSize || HEADER_LENGTH + length !== list.length) {
    return void invalidParameter(task, 2)
  }
  const block = Buffer.alloc(unit.blockSize, list.subarray(HEADER_LENGTH))
  return { block, passes, invert: (list[0]! & FLAG_INVERT) !== 0 }
}

/** With IMMED the status comes at once, else with the end. An aborted task is let go; the operation is not. */
function begin(task: Task, unit: LogicalUnit, overwrite: Overwrite | undefined): void {
  const { sanitize: before } = unit
  if (before && !before.failed) return task.check(before.condition, before.detail)
  const { flags } = view.at(task.cdb)
  task.scratch = SANITIZE_TASK
  const operation = unit.startSanitize({ overwrite, mayExitFailure: (flags & FLAG_AUSE) !== 0 })
  if ((flags & FLAG_IMMED) !== 0) return task.good()
  task.run(async () => {
    let over = false
    void operation.ended.then(() => (over = true))
    while (!over && !task.aborted) await Promise.race([operation.ended, looked()])
    if (operation.failed) task.check(operation.condition)
  })
}

/** How long an abort of the task may wait to be noticed. */
const LOOK_MS = 20

async function looked(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  await turn()
}
