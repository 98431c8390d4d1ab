import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import {
  IDENTIFICATION_CSCD,
  MAX_CSCD_DESCRIPTORS,
  MAX_DESCRIPTORS_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_DESCRIPTORS,
  SEGMENT_BLOCKS,
  SEGMENT_BYTES
} from '../copy-list.js'
import { MAX_CONCURRENT_COPIES, TOTAL_CONCURRENT_COPIES, type CopyResult, type CopyState } from '../copy-results.js'
import { invalidCdbField } from '../invalid-field.js'

const cdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  listId: u8,
  reserved: bytes(7),
  allocationLength: u32,
  moreReserved: u8,
  control: u8
})
const view = cdb.view()

const LIST_ID_BYTE = 2

/** SPC-4 §6.25: how far a copy of this nexus is, or how it ended. */
export const receiveCopyStatus = define(0x00, 'RECEIVE COPY STATUS(LID1)', copyStatus)

/** SPC-4 §6.23: why a copy failed. Nothing when it did not. */
export const receiveCopyFailureDetails = define(0x04, 'RECEIVE COPY FAILURE DETAILS(LID1)', failureDetails)

/** SPC-4 §6.22: what EXTENDED COPY takes. */
export const receiveCopyOperatingParameters = defineCommand(
  {
    opcode: 0x84,
    serviceAction: 0x03,
    name: 'RECEIVE COPY OPERATING PARAMETERS',
    usage: usageWith(0x00),
    access: 'none',
    medium: false,
    allowedUnderReservation: 'write-exclusive',
    execute: (task) => task.reply(OPERATING_PARAMETERS, view.at(task.cdb).allocationLength)
  },
  cdb
)

function define(serviceAction: number, name: string, answer: (result: CopyResult) => Buffer): Command {
  return defineCommand(
    {
      opcode: 0x84,
      serviceAction,
      name,
      usage: usageWith(0xff),
      access: 'none',
      medium: false,
      allowedUnderReservation: 'write-exclusive',
      execute(task) {
        const { listId, allocationLength } = view.at(task.cdb)
        const result = task.nexus.copies.get(listId)
        if (!result) return invalidCdbField(task, LIST_ID_BYTE, 7)
        task.reply(answer(result), allocationLength)
      }
    },
    cdb
  )
}

function usageWith(listId: number): number[] {
  return [0x84, 0x1f, listId, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00]
}

/** SPC-4 table 253. */
const statusLayout = defineLayout(12, {
  availableData: u32,
  status: u8,
  segments: bytes(2),
  countUnits: u8,
  transferCount: u32
})
/** COPY MANAGER STATUS, SPC-4 table 254. HDD stays 0: no data is held. */
const COPY_STATUS: Readonly<Record<CopyState, number>> = { running: 0, good: 1, partial: 1, failed: 2, aborted: 2 }
/** TRANSFER COUNT UNITS: KiB, so that four bytes are enough for what one list can say. */
const COUNT_IN_KIB = 1

function copyStatus({ state, segmentsDone, bytesDone }: CopyResult): Buffer {
  return statusLayout.make({
    availableData: 8,
    status: COPY_STATUS[state],
    segments: Buffer.from([segmentsDone >>> 8, segmentsDone & 0xff]),
    countUnits: COUNT_IN_KIB,
    transferCount: Math.floor(bytesDone / 1024)
  })
}

/** SPC-4 table 246: up to the sense data, which follows. */
const FAILURE_HEADER_LENGTH = 60

function failureDetails({ sense, status }: CopyResult): Buffer {
  if (!sense) return Buffer.alloc(4)
  const details = Buffer.alloc(FAILURE_HEADER_LENGTH + sense.length)
  details.writeUInt32BE(details.length - 4, 0)
  details[56] = status
  details.writeUInt16BE(sense.length, 58)
  sense.copy(details, FAILURE_HEADER_LENGTH)
  return details
}

/** SPC-4 table 244. Neither inline nor held data; segments of any number of blocks. */
const parameters = defineLayout(47, {
  availableData: u32,
  flags: u8,
  reserved: bytes(3),
  maxCscds: u16,
  maxSegments: u16,
  maxDescriptorsLength: u32,
  maxSegmentLength: u32,
  maxInlineData: u32,
  heldDataLimit: u32,
  maxStreamTransfer: u32,
  moreReserved: u16,
  totalConcurrentCopies: u16,
  maxConcurrentCopies: u8,
  segmentGranularity: u8,
  inlineGranularity: u8,
  heldGranularity: u8,
  lastReserved: bytes(3),
  typesLength: u8,
  types: bytes(3)
})
/** SNLID: LIST ID USAGE may say that there is no list identifier. */
const FLAG_SNLID = 0x01

const OPERATING_PARAMETERS = parameters.make({
  availableData: parameters.length - 4,
  flags: FLAG_SNLID,
  maxCscds: MAX_CSCD_DESCRIPTORS,
  maxSegments: MAX_SEGMENT_DESCRIPTORS,
  maxDescriptorsLength: MAX_DESCRIPTORS_BYTES,
  maxSegmentLength: MAX_SEGMENT_BYTES,
  totalConcurrentCopies: TOTAL_CONCURRENT_COPIES,
  maxConcurrentCopies: MAX_CONCURRENT_COPIES,
  typesLength: 3,
  types: Buffer.from([SEGMENT_BLOCKS, SEGMENT_BYTES, IDENTIFICATION_CSCD])
})
