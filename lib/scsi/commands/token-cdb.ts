import { defineLayout, u32, u8 } from '../../layout/layout.js'
import type { RangesFault } from '../block-ranges.js'
import type { CopyResult } from '../copy-results.js'
import type { LogicalUnit } from '../logical-unit.js'
import { INSUFFICIENT_RESOURCES, OPERATION_IN_PROGRESS } from '../sense.js'
import type { Task } from '../task.js'
import { GROUP_MASK } from './cdb.js'

/** What POPULATE TOKEN and WRITE USING TOKEN have in common (SBC-3 §5.7, §5.46). */
export const tokenCdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  reserved: u32,
  listId: u32,
  parameterListLength: u32,
  group: u8,
  control: u8
})
export const tokenView = tokenCdb.view()

/** The longest list that is taken: what two bytes of length can say. Too many ranges are told from too long a list. */
export const TOKEN_LIST_BYTES_MAX = 0xffff + 2

/** CDB usage data of both. */
export const TOKEN_USAGE = [0x83, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, GROUP_MASK, 0x00]

export function refuseRanges(task: Task, { condition, byte }: RangesFault): void {
  task.check(condition, byte === undefined ? {} : { field: { inCdb: false, byte } })
}

/** Begins what the list identifier of the CDB names; undefined when the task has ended with why that cannot be. */
export function beginCopy(task: Task, unit: LogicalUnit): CopyResult | undefined {
  const { listId } = tokenView.at(task.cdb)
  const { copies } = task.nexus
  const result = copies.begin(listId, { serviceAction: task.cdb[1]! & 0x1f, countedIn: unit })
  if (!result) task.check(copies.full ? INSUFFICIENT_RESOURCES : OPERATION_IN_PROGRESS)
  return result
}
