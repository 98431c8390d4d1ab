import { flushVolume, writeVolume, zeroVolume } from '../../volume/promises.js'
import { defineCommand, type Command } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import { maxWriteSameBlocks, writeSameIsNonZero } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { PIECE_BYTES, ZERO_PIECE_BYTES, inPieces } from '../pieces.js'
import { INVALID_FIELD_IN_INFORMATION_UNIT, LBA_OUT_OF_RANGE } from '../sense.js'
import type { Task } from '../task.js'
import { form10, form16, type CdbForm } from './cdb.js'

/** UNMAP: what reads as zeroes afterwards may give its space back. ANCHOR stays out of the usage maps. */
const FLAG_UNMAP = 0x08
const UNMAP_BIT = 3
/** NDOB (16-byte form): no data is sent, zeroes are meant. */
const FLAG_NDOB = 0x01

/** WRITE SAME(10), (16): SBC-3 §5.43, §5.44. */
export const writeSame10 = writeSame('WRITE SAME(10)', 0x41, form10, 0, 7, FLAG_UNMAP)
export const writeSame16 = writeSame('WRITE SAME(16)', 0x93, form16, FLAG_NDOB, 10, FLAG_UNMAP | FLAG_NDOB)

function writeSame(
  name: string,
  opcode: number,
  form: CdbForm,
  noDataFlag: number,
  lengthByte: number,
  flags: number
): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'write',
      medium: true,
      timeoutSeconds: 120,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks: asked, flags } = rangeOf(task.cdb)
        if ((flags & FLAG_UNMAP) !== 0 && !unit.thin) return invalidCdbField(task, 1, UNMAP_BIT)
        if (asked === 0 && writeSameIsNonZero(unit)) return invalidCdbField(task, lengthByte, 7)
        if (!unit.covers(lba, Math.max(asked, 1))) return task.check(LBA_OUT_OF_RANGE)
        const blocks = blocksOf(unit, lba, asked)
        if (blocks > maxWriteSameBlocks(unit)) return invalidCdbField(task, lengthByte, 7)
        if ((flags & noDataFlag) !== 0) return fill(task, unit, lba, blocks)
        // Half a block or two are a mistake of the client's, and no block must be made of it.
        if (task.expectedDataOut !== unit.blockSize) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
        task.gather(unit.blockSize)
      },
      finish(task, unit) {
        if (task.received < unit.blockSize) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
        const { lba, blocks } = rangeOf(task.cdb)
        fill(task, unit, lba, blocksOf(unit, lba, blocks))
      }
    },
    form
  )
}

/** 0 blocks are all that are left. */
function blocksOf(unit: LogicalUnit, lba: number, blocks: number): number {
  return blocks === 0 ? unit.blockCount - lba : blocks
}

/**
 * Writes the block in `task.parameters`, zeroes without one. SBC-3 §4.7.3.4.4: data that is not what unmapped blocks
 * read as, zeroes here, is written.
 */
function fill(task: Task, unit: LogicalUnit, lba: number, blocks: number): void {
  const { volume, blockSize } = unit
  const offset = lba * blockSize
  const length = blocks * blockSize
  const unmap = (task.cdb[1]! & FLAG_UNMAP) !== 0
  const block = task.parameters
  task.run(async () => {
    if (!block || block.equals(Buffer.alloc(blockSize))) {
      await inPieces(task, length, ZERO_PIECE_BYTES, (at, count) => zeroVolume(volume, offset + at, count, unmap))
    } else {
      const pattern = Buffer.alloc(Math.min(PIECE_BYTES, length), block)
      await inPieces(task, length, PIECE_BYTES, (at, count) =>
        writeVolume(volume, pattern.subarray(0, count), offset + at)
      )
    }
    if (!unit.writeCacheEnabled) await flushVolume(volume)
  })
}
