import { bytes, defineLayout, u16, u32, u64, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import type { CopyResult, CopyState } from '../copy-results.js'
import { invalidCdbField } from '../invalid-field.js'
import { Status } from '../status.js'
import type { Task } from '../task.js'

const cdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  listId: u32,
  reserved: u32,
  allocationLength: u32,
  moreReserved: u8,
  control: u8
})
const view = cdb.view()

const LIST_ID_BYTE = 2

/** SPC-4 §6.24: how far a copy of this nexus is, or how it ended. */
export const receiveCopyStatus4 = define(0x05, 'RECEIVE COPY STATUS(LID4)', (task, result, allocationLength) =>
  task.reply(complete(statusOf(result)), allocationLength)
)

/** SPC-4 §6.26, SBC-3 §5.22: the same, and the token that POPULATE TOKEN has made. */
export const receiveRodTokenInformation = define(0x07, 'RECEIVE ROD TOKEN INFORMATION', (task, result, limit) => {
  const answer = complete(Buffer.concat([statusOf(result), tokenDescriptors(result.token)]))
  // A token is handed out once; who wants nothing of it says so with an allocation length of zero.
  if (limit === 0 || limit >= answer.length) result.token = undefined
  task.reply(answer, limit)
})

function define(
  serviceAction: number,
  name: string,
  answer: (task: Task, result: CopyResult, allocationLength: number) => void
): Command {
  return defineCommand(
    {
      opcode: 0x84,
      serviceAction,
      name,
      usage: [0x84, 0x1f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
      access: 'none',
      medium: false,
      allowedUnderReservation: 'write-exclusive',
      execute(task) {
        const { listId, allocationLength } = view.at(task.cdb)
        const result = task.nexus.copies.get(listId)
        if (!result) return invalidCdbField(task, LIST_ID_BYTE, 7)
        answer(task, result, allocationLength)
      }
    },
    cdb
  )
}

/** SPC-4 table 248, without the sense data that follows. */
const header = defineLayout(32, {
  availableData: u32,
  serviceAction: u8,
  status: u8,
  operationCounter: u16,
  updateDelay: u32,
  completionStatus: u8,
  senseFieldLength: u8,
  senseLength: u8,
  countUnits: u8,
  transferCount: u64,
  segments: u16,
  reserved: bytes(6)
})
/** COPY OPERATION STATUS, SPC-4 table 249. */
const COPY_OPERATION_STATUS: Readonly<Record<CopyState, number>> = {
  good: 0x01,
  failed: 0x02,
  partial: 0x03,
  running: 0x11,
  aborted: 0x60
}
/** ESTIMATED STATUS UPDATE DELAY in milliseconds; the other one says that there is nothing to wait for. */
const UPDATE_DELAY_MS = 100
const NO_MORE_UPDATES = 0xfffffffe
/** TRANSFER COUNT UNITS, SPC-4 table 251. */
const COUNT_IN_KIB = 0x01
const COUNT_IN_BLOCKS = 0xf1

function statusOf(result: CopyResult): Buffer {
  const { state, origin, bytesDone } = result
  const sense = state === 'failed' ? result.sense! : Buffer.alloc(0)
  // LENGTH OF THE SENSE DATA FIELD is a multiple of four.
  const senseField = Buffer.alloc(Math.ceil(sense.length / 4) * 4)
  sense.copy(senseField)
  const { countedIn } = origin
  const fields = header.make({
    serviceAction: origin.serviceAction,
    status: COPY_OPERATION_STATUS[state],
    updateDelay: state === 'running' ? UPDATE_DELAY_MS : NO_MORE_UPDATES,
    completionStatus: state === 'aborted' ? Status.TaskAborted : result.status,
    senseFieldLength: senseField.length,
    senseLength: sense.length,
    countUnits: countedIn ? COUNT_IN_BLOCKS : COUNT_IN_KIB,
    transferCount: Math.floor(bytesDone / (countedIn?.blockSize ?? 1024)),
    segments: result.segmentsDone
  })
  return Buffer.concat([fields, senseField])
}

/** AVAILABLE DATA: all that follows the field. */
function complete(answer: Buffer): Buffer {
  answer.writeUInt32BE(answer.length - 4, 0)
  return answer
}

/** SPC-4 table 257: an identifier that only EXTENDED COPY has, and the token. */
function tokenDescriptors(token: Buffer | undefined): Buffer {
  const descriptor = token ? Buffer.concat([Buffer.alloc(2), token]) : Buffer.alloc(0)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(descriptor.length)
  return Buffer.concat([length, descriptor])
}
