import { defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import { invalidCdbField, invalidParameter } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import {
  isReservationType,
  type Outcome,
  type PersistentReservations,
  type ReservationSnapshot
} from '../persistent-reservations.js'
import { PARAMETER_LIST_LENGTH_ERROR } from '../sense.js'
import { Status } from '../status.js'
import { abortTasks } from '../task-manager.js'
import type { Task } from '../task.js'

const cdb = defineLayout(10, {
  opcode: u8,
  serviceAction: u8,
  scopeAndType: u8,
  reserved: u16,
  parameterListLength: u32,
  control: u8
})
const view = cdb.view()

const LIST_LENGTH = 24
const SCOPE_AND_TYPE_BYTE = 2
/** In the parameter list (SPC-4 table 216). */
const NEW_KEY_OFFSET = 8
const FLAGS_BYTE = 20
/** SPEC_I_PT and ALL_TG_PT: REPORT CAPABILITIES says that neither can be had. */
const FLAGS = [
  { mask: 0x08, bit: 3 },
  { mask: 0x04, bit: 2 }
]
/** Registrations survive a loss of power; where nothing is kept that cannot be had either. */
const FLAG_APTPL = 0x01

/** What a service action is told: the keys of its parameter list, and the type of its CDB. */
interface Order {
  readonly key: bigint
  readonly newKey: bigint
  readonly type: number
  /** Of the two that register. */
  readonly aptpl: boolean
}

type Action = (state: PersistentReservations, task: Task, order: Order) => Outcome

/** PERSISTENT RESERVE OUT, SPC-4 §6.16. REGISTER AND MOVE and REPLACE LOST RESERVATION are not there. */
export const register = define(0x00, 'REGISTER', false, (state, { nexus }, { key, newKey }) =>
  state.register(nexus, key, newKey)
)
export const reserve = define(0x01, 'RESERVE', true, (state, { nexus }, { key, type }) =>
  state.reserve(nexus, key, type)
)
export const release = define(0x02, 'RELEASE', true, (state, { nexus }, { key, type }) =>
  state.release(nexus, key, type)
)
export const clear = define(0x03, 'CLEAR', false, (state, { nexus }, { key }) => state.clear(nexus, key))
export const preempt = define(
  0x04,
  'PREEMPT',
  true,
  (state, { nexus }, { key, newKey, type }) => state.preempt(nexus, key, newKey, type).outcome
)
export const preemptAndAbort = define(0x05, 'PREEMPT AND ABORT', true, preemptThenAbort)
export const registerAndIgnore = define(
  0x06,
  'REGISTER AND IGNORE EXISTING KEY',
  false,
  (state, { nexus }, { newKey }) => state.registerAndIgnore(nexus, newKey)
)

function define(serviceAction: number, name: string, usesType: boolean, action: Action): Command {
  return defineCommand(
    {
      opcode: 0x5f,
      serviceAction,
      name: `PERSISTENT RESERVE OUT, ${name}`,
      usage: [0x5f, 0x1f, 0xff, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00],
      access: 'none',
      medium: false,
      // Each service action judges on its own who may.
      allowedUnderReservation: 'always',
      execute(task) {
        const { scopeAndType, parameterListLength } = view.at(task.cdb)
        if (parameterListLength !== LIST_LENGTH) return task.check(PARAMETER_LIST_LENGTH_ERROR)
        if (usesType && !isWholeUnitType(scopeAndType)) return invalidCdbField(task, SCOPE_AND_TYPE_BYTE)
        task.gather(LIST_LENGTH)
      },
      finish(task, unit) {
        const list = task.parameters!
        if (task.received < LIST_LENGTH) return task.check(PARAMETER_LIST_LENGTH_ERROR)
        const flag = FLAGS.find(({ mask }) => (list[FLAGS_BYTE]! & mask) !== 0)
        if (flag) return invalidParameter(task, FLAGS_BYTE, flag.bit)
        const { persistent } = unit.reservations
        const order = readOrder(task, list)
        if (order.aptpl && !persistent.canPersist) return invalidParameter(task, FLAGS_BYTE, 0)
        const before = persistent.snapshot()
        const outcome = action(persistent, task, order)
        if (outcome === 'good' && REGISTERING.has(serviceAction)) persistent.setPersists(order.aptpl)
        end(task, outcome, persistent, before)
      }
    },
    cdb
  )
}

/** Scope 0h (LU_SCOPE) in the upper half. */
function isWholeUnitType(scopeAndType: number): boolean {
  return scopeAndType >>> 4 === 0 && isReservationType(scopeAndType)
}

function readOrder(task: Task, list: Buffer): Order {
  return {
    key: list.readBigUInt64BE(0),
    newKey: list.readBigUInt64BE(NEW_KEY_OFFSET),
    type: view.at(task.cdb).scopeAndType & 0x0f,
    aptpl: (list[FLAGS_BYTE]! & FLAG_APTPL) !== 0
  }
}

/** Service actions for which APTPL means something (SPC-4 §6.16.3). */
const REGISTERING: ReadonlySet<number> = new Set([0x00, 0x06])

/** What has to be kept is on the medium before the status goes out; if that fails nothing has changed. */
function end(task: Task, outcome: Outcome, state: PersistentReservations, before: ReservationSnapshot): void {
  if (outcome === 'conflict') return task.end(Status.ReservationConflict)
  if (outcome !== 'good') return task.check(outcome)
  // Tasks that PREEMPT AND ABORT has aborted may have something left to end.
  const abort = task.scratch as (() => Promise<void>) | undefined
  const kept = state.keep(before)
  if (!abort && !kept) return task.good()
  task.run(async () => {
    try {
      await kept
    } catch (error) {
      state.undo(before)
      throw error
    }
    await abort?.()
  })
}

/** The status waits until the tasks of the preempted have ended (SPC-4 §5.13.11.5). */
function preemptThenAbort(state: PersistentReservations, task: Task, { key, newKey, type }: Order): Outcome {
  const { outcome, preempted } = state.preempt(task.nexus, key, newKey, type)
  const unit = task.unit!
  if (preempted.length > 0) task.scratch = () => abortAll(unit, preempted)
  return outcome
}

function abortAll(unit: LogicalUnit, nexusIds: readonly string[]): Promise<void> {
  const tasks = unit.taskSet.tasks.filter((task) => nexusIds.includes(task.nexus.id))
  return new Promise((resolve) => abortTasks(unit, tasks, resolve))
}
