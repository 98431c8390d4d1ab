import { INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_PARAMETER_LIST } from './sense.js'
import type { Task } from './task.js'

/** INVALID FIELD IN CDB that points at the byte, and at the most significant bit of the field in it where given. */
export function invalidCdbField(task: Task, byte: number, bit?: number): void {
  task.check(INVALID_FIELD_IN_CDB, { field: { inCdb: true, byte, ...(bit === undefined ? {} : { bit }) } })
}

/** INVALID FIELD IN PARAMETER LIST that points at the byte of the list, and at the bit in it where given. */
export function invalidParameter(task: Task, byte: number, bit?: number): void {
  task.check(INVALID_FIELD_IN_PARAMETER_LIST, { field: { inCdb: false, byte, ...(bit === undefined ? {} : { bit }) } })
}
