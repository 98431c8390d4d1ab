import { bytes, defineLayout, u16, u64, u8 } from '../../layout/layout.js'
import { flushVolume, zeroVolume } from '../../volume/promises.js'
import { overlap, readBlockRanges, without, type ByteRange } from '../block-ranges.js'
import { defineCommand, type Command } from '../command.js'
import { copyRange, isBackwards, type CopyRange } from '../copy-range.js'
import type { CopyResult } from '../copy-results.js'
import { invalidParameter } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import { ZERO_PIECE_BYTES, turn } from '../pieces.js'
import { ROD_TOKEN_LENGTH, RodType, hasRightLength, rodTypeOf } from '../rod-token.js'
import { RodToken, findRodToken, type PointInTime } from '../rod-tokens.js'
import {
  COPY_CLEARED,
  COPY_TARGET_NOT_REACHABLE,
  INVALID_TOKEN_LENGTH,
  PARAMETER_LIST_LENGTH_ERROR,
  TOKEN_TYPE_UNSUPPORTED,
  type SenseCondition
} from '../sense.js'
import type { Task } from '../task.js'
import { TOKEN_LIST_BYTES_MAX, TOKEN_USAGE, beginCopy, refuseRanges, tokenCdb, tokenView } from './token-cdb.js'

/** SBC-3 §5.46.2. */
const HEADER_LENGTH = 536
const header = defineLayout(HEADER_LENGTH, {
  dataLength: u16,
  flags: u8,
  reserved: bytes(5),
  offsetIntoRod: u64,
  token: bytes(ROD_TOKEN_LENGTH),
  moreReserved: bytes(6),
  rangesLength: u16
})
const view = header.view()
/** Of what follows the field: the rest of the header and one range. */
const DATA_LENGTH_MIN = 0x226
/** DEL_TKN. The bit below it, IMMED, is taken as 0 (SPC-4 §5.17.4.3): the status comes when the work is done. */
const FLAG_DELETE_TOKEN = 0x02
const OFFSET_BYTE = 8
const RANGES_LENGTH_BYTE = 534

/** Stands for a read of anybody, where reservations are asked. */
const READS = { access: 'read' } as Command

/**
 * WRITE USING TOKEN, SBC-3 §5.46: writes what a token stands for, or zeroes. Only a token of this initiator, for data of a
 * unit that this nexus sees, is known. Inside one private disk whole chunks are copied by the map.
 */
export const writeUsingToken = defineCommand(
  {
    opcode: 0x83,
    serviceAction: 0x11,
    name: 'WRITE USING TOKEN',
    usage: TOKEN_USAGE,
    access: 'write',
    medium: true,
    timeoutSeconds: 600,
    execute(task) {
      const { parameterListLength } = tokenView.at(task.cdb)
      if (parameterListLength === 0) return task.good()
      if (parameterListLength < HEADER_LENGTH || parameterListLength > TOKEN_LIST_BYTES_MAX) {
        return task.check(PARAMETER_LIST_LENGTH_ERROR)
      }
      task.gather(parameterListLength)
    },
    finish(task, unit) {
      if (task.received < task.parameters!.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
      const order = readOrder(task, unit, task.parameters!)
      if (!order) return
      const result = beginCopy(task, unit)
      if (!result) return
      task.run(() => writeAll(task, unit, order, result))
    }
  },
  tokenCdb
)

interface Order {
  /** Undefined for zeroes. */
  readonly token: RodToken | undefined
  readonly deleteToken: boolean
  readonly copies: readonly CopyRange[]
  /** What reads as zeroes behind them: all, or the rest of a block that the token has no more data for. */
  readonly zeroes: readonly ByteRange[]
  /** The token has less than was asked for. */
  readonly partial: boolean
  /**
   * What is written lies in what the token stands for, which falls with the first piece: this is what the copies read and
   * do not write themselves, so that only another changes it.
   */
  readonly onlyRead: readonly ByteRange[] | undefined
}

/** What a parameter list orders, or undefined when the task has ended with what is wrong. */
function readOrder(task: Task, unit: LogicalUnit, list: Buffer): Order | undefined {
  const { dataLength, flags, rangesLength } = view.at(list)
  if (dataLength < DATA_LENGTH_MIN) return void invalidParameter(task, 0)
  if (dataLength + 2 < HEADER_LENGTH + rangesLength) return void invalidParameter(task, RANGES_LENGTH_BYTE)
  const ranges = readBlockRanges(list, HEADER_LENGTH, unit)
  if ('condition' in ranges) return void refuseRanges(task, ranges)
  const { token: rod, offsetIntoRod } = view.at(list)
  if (!hasRightLength(rod)) return void task.check(INVALID_TOKEN_LENGTH)
  if (rodTypeOf(rod) === RodType.BlockZero) return zeroOrder(ranges)
  const token = findToken(task, rod)
  if (!token) return undefined
  const offset = offsetIntoRod * unit.blockSize
  if (offset >= token.byteCount) return void invalidParameter(task, OFFSET_BYTE)
  const order = copyOrder(token, offset, ranges, unit, (flags & FLAG_DELETE_TOKEN) !== 0)
  // Then no order of the copies would leave what the last of them have to read.
  if (!order) return void invalidParameter(task, RANGES_LENGTH_BYTE)
  return order
}

function findToken(task: Task, rod: Buffer): RodToken | undefined {
  const type = rodTypeOf(rod)
  if (type !== RodType.PointInTimeDefault && type !== RodType.PointInTimeChangeVulnerable) {
    return void task.check(TOKEN_TYPE_UNSUPPORTED)
  }
  const found = findRodToken(rod, task.nexus)
  if (found instanceof RodToken) return mayRead(task, found) ? found : void task.check(COPY_TARGET_NOT_REACHABLE)
  return void task.check(found)
}

function mayRead(task: Task, { unit }: RodToken): boolean {
  const entry = task.nexus.units.get(unit.lun)!
  return !entry.fenced && unit.notReady === undefined && !unit.reservations.conflicts(task.nexus, READS)
}

function zeroOrder(ranges: readonly ByteRange[]): Order {
  return { token: undefined, deleteToken: false, copies: [], zeroes: ranges, partial: false, onlyRead: undefined }
}

/** Undefined when one of the copies would overwrite what a later one has to read. */
function copyOrder(
  token: RodToken,
  offset: number,
  ranges: readonly ByteRange[],
  unit: LogicalUnit,
  deleteToken: boolean
): Order | undefined {
  const wanted = ranges.reduce((sum, { length }) => sum + length, 0)
  const available = Math.min(wanted, token.byteCount - offset)
  const copies = pairUp(
    { volume: token.unit.volume, ranges: cut(token.ranges, offset, available) },
    { volume: unit.volume, ranges: cut(ranges, 0, available) }
  )
  const overwrites = (index: number) =>
    copies.slice(index + 1).some((later) => overlap(destinationOf(copies[index]!), sourceOf(later)))
  const same = token.unit === unit
  if (same && copies.some((_copy, index) => overwrites(index))) return undefined
  const changesSource = same && ranges.some(({ offset: at, length }) => token.overlaps(at, length))
  const toEndOfBlock = Math.ceil(available / unit.blockSize) * unit.blockSize - available
  return {
    token,
    deleteToken,
    copies,
    zeroes: cut(ranges, available, toEndOfBlock),
    partial: available < wanted,
    onlyRead: changesSource ? without(copies.map(sourceOf), ranges) : undefined
  }
}

interface Side {
  readonly volume: CopyRange['source']
  readonly ranges: readonly ByteRange[]
}

/** Stretches that lie in one range on both sides, which have the same bytes in all. */
function pairUp(from: Side, to: Side): CopyRange[] {
  const copies: CopyRange[] = []
  const [sources, destinations] = [[...from.ranges], [...to.ranges]]
  while (sources.length > 0 && destinations.length > 0) {
    const [source, destination] = [sources.shift()!, destinations.shift()!]
    const length = Math.min(source.length, destination.length)
    copies.push({
      source: from.volume,
      sourceOffset: source.offset,
      destination: to.volume,
      destinationOffset: destination.offset,
      length
    })
    if (source.length > length) sources.unshift(cutFront(source, length))
    if (destination.length > length) destinations.unshift(cutFront(destination, length))
  }
  return copies
}

/** What is left of the ranges, laid end to end, from `skip` bytes on and for at most `length`. */
function cut(ranges: readonly ByteRange[], skip: number, length: number): ByteRange[] {
  const parts: ByteRange[] = []
  let before = skip
  let left = length
  for (const range of ranges) {
    const taken = Math.min(before, range.length)
    const part = Math.min(range.length - taken, left)
    if (part > 0) parts.push({ offset: range.offset + taken, length: part })
    before -= taken
    left -= part
  }
  return parts
}

function cutFront({ offset, length }: ByteRange, bytes: number): ByteRange {
  return { offset: offset + bytes, length: length - bytes }
}

function sourceOf({ sourceOffset, length }: CopyRange): ByteRange {
  return { offset: sourceOffset, length }
}

function destinationOf({ destinationOffset, length }: CopyRange): ByteRange {
  return { offset: destinationOffset, length }
}

async function writeAll(task: Task, unit: LogicalUnit, order: Order, result: CopyResult): Promise<void> {
  const { token, onlyRead } = order
  token?.beginUse()
  const watched = onlyRead && token?.fault === undefined ? unit.tokens.watch(onlyRead) : undefined
  try {
    const fault = await writePieces(task, unit, order, watched ?? token, result)
    if (fault) task.check(fault)
    else if (!unit.writeCacheEnabled) await flushVolume(unit.volume)
  } catch (error) {
    task.checkVolume(error)
  } finally {
    if (watched) unit.tokens.unwatch(watched)
    token?.endUse()
    if (order.deleteToken) token?.delete()
  }
  conclude(task, order, result)
}

function conclude(task: Task, { partial }: Order, result: CopyResult): void {
  const { copies } = task.nexus
  if (task.sense) {
    result.status = task.status
    result.sense = task.sense
    copies.end(result, result.cancelled ? 'aborted' : 'failed')
  } else if (task.aborted) copies.end(result, 'aborted')
  else copies.end(result, partial ? 'partial' : 'good')
}

/**
 * Returns what is wrong when it could not go on.
 * @param source - must stay as it is to the end; undefined for zeroes
 */
async function writePieces(
  task: Task,
  unit: LogicalUnit,
  { copies, zeroes }: Order,
  source: PointInTime | undefined,
  result: CopyResult
): Promise<SenseCondition | undefined> {
  const stopped = () => task.aborted || result.cancelled || source?.fault !== undefined
  for (const copy of copies) {
    const before = result.bytesDone
    const backwards = isBackwards(copy)
    // A piece that was read while its source changed is not counted: it is asked before the next one.
    const done = await copyRange(copy, (doneBytes) => {
      if (stopped()) return false
      if (!backwards) result.bytesDone = before + doneBytes
      return true
    })
    if (stopped()) break
    result.bytesDone = before + done
  }
  for (const { offset, length } of stopped() ? [] : zeroes) await writeZeroes(unit, offset, length, result, stopped)
  if (result.cancelled) return COPY_CLEARED
  return source?.fault
}

async function writeZeroes(
  unit: LogicalUnit,
  offset: number,
  length: number,
  result: CopyResult,
  stopped: () => boolean
): Promise<void> {
  for (let at = 0; at < length && !stopped(); at += ZERO_PIECE_BYTES) {
    if (at > 0) await turn()
    const count = Math.min(ZERO_PIECE_BYTES, length - at)
    await zeroVolume(unit.volume, offset + at, count, unit.thin)
    result.bytesDone += count
  }
}
