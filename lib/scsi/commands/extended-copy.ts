import { bytes, defineLayout, u32, u8 } from '../../layout/layout.js'
import { flushVolume } from '../../volume/promises.js'
import { defineCommand, type Command } from '../command.js'
import {
  LID1,
  LID4,
  MAX_DESCRIPTORS_BYTES,
  MAX_SEGMENT_BYTES,
  THIS_UNIT,
  parseCopyList,
  type CopyList,
  type CopyListForm,
  type CopySegment,
  type Cscd
} from '../copy-list.js'
import { copyRange } from '../copy-range.js'
import type { CopyResult } from '../copy-results.js'
import { invalidParameter } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import type { Nexus, NexusUnit } from '../nexus.js'
import {
  COPY_CLEARED,
  COPY_TARGET_NOT_REACHABLE,
  INSUFFICIENT_RESOURCES,
  OPERATION_IN_PROGRESS,
  PARAMETER_LIST_LENGTH_ERROR,
  THIRD_PARTY_DEVICE_FAILURE,
  UNEXPECTED_INEXACT_SEGMENT,
  UNREACHABLE_COPY_TARGET,
  type SenseCondition
} from '../sense.js'
import { Status } from '../status.js'
import type { Task } from '../task.js'
import { LOGICAL_UNIT, TYPE_NAA } from '../vpd/device-identification.js'

const cdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  reserved: bytes(8),
  parameterListLength: u32,
  moreReserved: u8,
  control: u8
})
const view = cdb.view()

/**
 * EXTENDED COPY, SPC-4 §6.4 and §6.5: segments between disks, which are named as VPD page 83h names them. A list can only
 * name units that the nexus of the command sees: whoever can ask for a copy could read the source and write the
 * destination anyway, and nothing else is found, whatever its designator. IMMED is taken as 0 (SPC-4 §5.17.4.3).
 */
export const extendedCopy1 = define(0x00, 'EXTENDED COPY(LID1)', LID1)
export const extendedCopy4 = define(0x01, 'EXTENDED COPY(LID4)', LID4)

function define(serviceAction: number, name: string, form: CopyListForm): Command {
  // The rest of a longer list would be inline data, and there is none.
  const listBytesMax = form.headerLength + 2 * MAX_DESCRIPTORS_BYTES
  return defineCommand(
    {
      opcode: 0x83,
      serviceAction,
      name,
      usage: [0x83, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
      access: 'none',
      medium: true,
      allowedUnderReservation: 'never',
      timeoutSeconds: 600,
      execute(task) {
        const { parameterListLength } = view.at(task.cdb)
        if (parameterListLength === 0) return task.good()
        if (parameterListLength < form.headerLength || parameterListLength > listBytesMax) {
          return task.check(PARAMETER_LIST_LENGTH_ERROR)
        }
        task.gather(parameterListLength)
      },
      finish(task, unit) {
        if (task.received < task.parameters!.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
        const list = parseCopyList(task.parameters!, form)
        if ('condition' in list) return refuseList(task, list.condition, list.byte)
        const wrong = wrongBlockSize(task.nexus, list.cscds)
        if (wrong >= 0) return invalidParameter(task, form.headerLength + wrong * CSCD_LENGTH + BLOCK_SIZE_OFFSET)
        const { copies } = task.nexus
        const result = copies.begin(list.listId, { serviceAction })
        if (!result) return task.check(copies.full ? INSUFFICIENT_RESOURCES : OPERATION_IN_PROGRESS)
        task.run(() => copyAll(task, unit, list, result))
      }
    },
    cdb
  )
}

const CSCD_LENGTH = 32
const BLOCK_SIZE_OFFSET = 29

function refuseList(task: Task, condition: SenseCondition, byte: number | undefined): void {
  task.check(condition, byte === undefined ? {} : { field: { inCdb: false, byte } })
}

/** Index of the first CSCD of which the client believes another block size, or -1. */
function wrongBlockSize(nexus: Nexus, cscds: readonly Cscd[]): number {
  return cscds.findIndex((cscd) => {
    const found = findUnit(nexus, cscd)
    return found !== undefined && cscd.blockSize !== 0 && cscd.blockSize !== found.unit.blockSize
  })
}

async function copyAll(task: Task, unit: LogicalUnit, list: CopyList, result: CopyResult): Promise<void> {
  const { copies } = task.nexus
  let fault: SenseCondition | undefined
  try {
    const written = new Set<LogicalUnit>()
    for (const segment of list.segments) {
      fault = await copySegment(task, unit, list, segment, result, written)
      if (result.cancelled) fault = COPY_CLEARED
      if (fault || task.aborted) break
      result.segmentsDone++
    }
    for (const one of written) if (!one.writeCacheEnabled) await flushVolume(one.volume)
  } catch (error) {
    unit.volumeFailed(error, task)
    fault = THIRD_PARTY_DEVICE_FAILURE
  }
  if (fault) task.check(fault)
  copies.end(result, task.aborted || result.cancelled ? 'aborted' : fault ? 'failed' : 'good')
  if (!fault) return
  result.status = Status.CheckCondition
  result.sense = task.sense
}

/** Copies one segment; the condition with which the whole copy ends when that cannot be done. */
async function copySegment(
  task: Task,
  unit: LogicalUnit,
  list: CopyList,
  segment: CopySegment,
  result: CopyResult,
  written: Set<LogicalUnit>
): Promise<SenseCondition | undefined> {
  const source = findCscd(task, unit, list, segment.source)
  const destination = findCscd(task, unit, list, segment.destination)
  if (!source || !destination) return UNREACHABLE_COPY_TARGET
  if (!mayUse(task.nexus, source, READS) || !mayUse(task.nexus, destination, WRITES)) return COPY_TARGET_NOT_REACHABLE
  if (destination.unit.writeProtected) return THIRD_PARTY_DEVICE_FAILURE
  const length = bytesOf(segment, source.unit, destination.unit)
  // What does not end at the end of a block would need residual data to be kept (CAT, PAD); none is.
  if (length % destination.unit.blockSize !== 0 || length % source.unit.blockSize !== 0)
    return UNEXPECTED_INEXACT_SEGMENT
  const { sourceOffset, destinationOffset } = segment
  if (sourceOffset % source.unit.blockSize !== 0 || destinationOffset % destination.unit.blockSize !== 0) {
    return UNEXPECTED_INEXACT_SEGMENT
  }
  const from = startOf(source.unit, segment.sourceLba, sourceOffset, length)
  const to = startOf(destination.unit, segment.destinationLba, destinationOffset, length)
  if (length > MAX_SEGMENT_BYTES || from < 0 || to < 0) return COPY_TARGET_NOT_REACHABLE
  written.add(destination.unit)
  const range = {
    source: source.unit.volume,
    sourceOffset: from,
    destination: destination.unit.volume,
    destinationOffset: to,
    length
  }
  result.bytesDone += await copyRange(range, () => !task.aborted && !result.cancelled)
  return undefined
}

/** Stand for a read and a write of anybody, where reservations are asked. */
const READS = { access: 'read' } as Command
const WRITES = { access: 'write' } as Command

function mayUse(nexus: Nexus, { unit, fenced }: NexusUnit, access: Command): boolean {
  return !fenced && unit.notReady === undefined && !unit.reservations.conflicts(nexus, access)
}

function bytesOf({ count, unit }: CopySegment, source: LogicalUnit, destination: LogicalUnit): number {
  if (unit === 'bytes') return count
  return count * (unit === 'source-blocks' ? source : destination).blockSize
}

/** First byte on the medium, or -1 when the range does not lie on it. */
function startOf(unit: LogicalUnit, lba: number, offset: number, length: number): number {
  if (!unit.covers(lba, Math.ceil((offset + length) / unit.blockSize))) return -1
  return lba * unit.blockSize + offset
}

function findCscd(task: Task, unit: LogicalUnit, list: CopyList, id: number): NexusUnit | undefined {
  if (id === THIS_UNIT) return task.nexus.units.get(unit.lun)
  const cscd = list.cscds[id]
  return cscd && findUnit(task.nexus, cscd)
}

/** Among the units of this nexus and nowhere else. Of the designators of a unit only the NAA one has room in a CSCD. */
function findUnit(nexus: Nexus, { designatorType, designator }: Cscd): NexusUnit | undefined {
  if (designatorType !== (LOGICAL_UNIT | TYPE_NAA)) return undefined
  for (const entry of nexus.units.values()) if (entry.unit.identity.naa.equals(designator)) return entry
  return undefined
}
