import type { LogicalUnit } from './logical-unit.js'
import type { Nexus, NexusUnit } from './nexus.js'
import { BUS_DEVICE_RESET, COMMANDS_CLEARED } from './sense.js'
import type { Task } from './task.js'

/** Task management functions (SAM-5 §7), with the values that RFC 7143 §11.5.1 gives them on the wire. */
export const TaskManagementFunction = {
  AbortTask: 1,
  AbortTaskSet: 2,
  ClearAca: 3,
  ClearTaskSet: 4,
  LogicalUnitReset: 5,
  TargetWarmReset: 6,
  TargetColdReset: 7,
  TaskReassign: 8
} as const

/** Service responses, with the values of RFC 7143 §11.6.1. */
export const TaskManagementResponse = {
  Complete: 0,
  TaskDoesNotExist: 1,
  LunDoesNotExist: 2,
  TaskStillAllegiant: 3,
  ReassignmentNotSupported: 4,
  NotSupported: 5,
  Rejected: 255
} as const
export type TaskManagementResponse = (typeof TaskManagementResponse)[keyof typeof TaskManagementResponse]

export interface TaskManagementRequest {
  readonly function: number
  readonly nexus: Nexus
  /** -1 when the LUN field names no unit that could exist. */
  readonly lun: number
  /** ABORT TASK: the task that it names, or undefined when there is none with that tag. */
  readonly task?: Task | undefined
}

/**
 * Ends tasks on behalf of a nexus. Every task that is affected, of this nexus or another, is marked `aborted` and its
 * owner told by `taskAborted`; the answer comes when the last of them has left its task set, so that no file operation
 * of an aborted task can land after it (RFC 7143 §11.6.1).
 */
export class TaskManager {
  /** @param done - called once with the response, maybe during the call */
  execute(request: TaskManagementRequest, done: (response: TaskManagementResponse) => void): void {
    const handler = HANDLERS[request.function]
    if (handler) handler(request, done)
    else done(TaskManagementResponse.NotSupported)
  }
}

type Done = (response: TaskManagementResponse) => void
type Handler = (request: TaskManagementRequest, done: Done) => void

// CLEAR ACA is missing: no command here leaves an auto contingent allegiance (NORMACA=0).
const HANDLERS: Readonly<Record<number, Handler | undefined>> = {
  [TaskManagementFunction.AbortTask]: abortTask,
  [TaskManagementFunction.AbortTaskSet]: onUnit(abortTaskSet),
  [TaskManagementFunction.ClearTaskSet]: onUnit(clearTaskSet),
  [TaskManagementFunction.LogicalUnitReset]: onUnit(logicalUnitReset),
  // A warm and a cold reset differ on the transport's side alone: after a cold one it closes the sessions.
  [TaskManagementFunction.TargetWarmReset]: targetReset,
  [TaskManagementFunction.TargetColdReset]: targetReset,
  [TaskManagementFunction.TaskReassign]: (_request, done) => done(TaskManagementResponse.ReassignmentNotSupported)
}

/**
 * Aborts tasks of one unit, whosever they are.
 * @param left - called once, when all of them have left the task set; maybe during the call
 */
export function abortTasks(unit: LogicalUnit, tasks: readonly Task[], left: () => void): void {
  for (const task of tasks) task.aborted = true
  // A blocked task must be out before another's end could start it.
  for (const task of tasks) unit.taskSet.remove(task)
  for (const task of tasks) task.owner.taskAborted?.(task)
  unit.taskSet.whenLeft(tasks, left)
}

function abortTask({ task }: TaskManagementRequest, done: Done): void {
  if (!task) return done(TaskManagementResponse.TaskDoesNotExist)
  if (task.unit) return abortTasks(task.unit, [task], () => done(TaskManagementResponse.Complete))
  // A command to a missing unit is never under way for longer than a turn; its response may be, and is dropped.
  task.aborted = true
  task.owner.taskAborted?.(task)
  done(TaskManagementResponse.Complete)
}

function onUnit(handler: (entry: NexusUnit, done: () => void) => void): Handler {
  return ({ nexus, lun }, done) => {
    const entry = nexus.units.get(lun)
    if (!entry) return done(TaskManagementResponse.LunDoesNotExist)
    handler(entry, () => done(TaskManagementResponse.Complete))
  }
}

function abortTaskSet({ unit, nexus }: NexusUnit, done: () => void): void {
  const own = unit.taskSet.tasks.filter((task) => task.nexus === nexus)
  abortTasks(unit, own, done)
}

/** All tasks of the unit (TST=000b: one task set for all nexuses); the others' nexuses hear of it (SAM-5 §7.5). */
function clearTaskSet({ unit, nexus }: NexusUnit, done: () => void): void {
  const tasks = unit.taskSet.tasks
  for (const other of new Set(tasks.map((task) => task.nexus))) {
    if (other !== nexus) other.units.get(unit.lun)?.establish(COMMANDS_CLEARED)
  }
  abortTasks(unit, tasks, done)
}

/** SAM-5 §6.3.3: every nexus hears of it, the one that asked included. */
function logicalUnitReset({ unit }: NexusUnit, done: () => void): void {
  unit.reset()
  unit.establish(BUS_DEVICE_RESET)
  abortTasks(unit, unit.taskSet.tasks, done)
}

/** All units that this nexus sees, which are its initiator's. */
function targetReset({ nexus }: TaskManagementRequest, done: Done): void {
  const entries = [...nexus.units.values()]
  let waiting = entries.length
  if (waiting === 0) return done(TaskManagementResponse.Complete)
  for (const entry of entries) {
    logicalUnitReset(entry, () => {
      waiting--
      if (waiting === 0) done(TaskManagementResponse.Complete)
    })
  }
}
