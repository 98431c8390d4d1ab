import type { BlockIo } from '../../volume/block-io.js'
import { readVolume, writeVolume } from '../../volume/promises.js'
import { defineCommand } from '../command.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { PIECE_BYTES } from '../pieces.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE } from '../sense.js'
import type { Task } from '../task.js'
import { FLAG_DPO, FLAG_FUA, form16, mustFlush } from './cdb.js'

const merged = Buffer.allocUnsafe(PIECE_BYTES)

/**
 * ORWRITE(16), SBC-3 §5.7: the medium becomes medium OR data. Alone in its task set, so that the read and the write of
 * a piece are one. A piece that is done twice, because the disk blocked half-way, gives the same bytes.
 */
export const orwrite16 = defineCommand(
  {
    opcode: 0x8b,
    name: 'ORWRITE(16)',
    usage: form16.usage(0x8b, FLAG_DPO | FLAG_FUA),
    access: 'write',
    medium: true,
    alone: true,
    execute(task: Task, unit: LogicalUnit) {
      const { lba, blocks } = form16.rangeOf(task.cdb)
      if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
      const length = blocks * unit.blockSize
      if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
      task.writeMedium(lba * unit.blockSize, length)
    },
    receive(task, unit, buffer, start, length, at) {
      for (let done = 0; done < length; done += PIECE_BYTES) {
        const count = Math.min(PIECE_BYTES, length - done)
        const offset = task.mediumOffset + at + done
        if (!unit.volume.tryRead(merged, 0, count, offset)) return false
        orInto(merged, buffer, start + done, count)
        if (!unit.volume.tryWrite(merged, 0, count, offset)) return false
      }
      return true
    },
    receiveLater(_task, unit, io) {
      orLater(unit, io).then(
        () => io.complete(),
        (error: unknown) => io.complete(error as Error)
      )
    },
    finish(task, unit) {
      const forced = mustFlush(task.cdb[1]!, unit)
      if (forced && task.received > 0) task.volumeIo((io) => unit.volume.flush(io))
      else task.good()
    }
  },
  form16
)

async function orLater(unit: LogicalUnit, io: BlockIo): Promise<void> {
  const medium = Buffer.allocUnsafe(io.length)
  await readVolume(unit.volume, medium, io.offset)
  orInto(medium, io.buffer, io.start, io.length)
  await writeVolume(unit.volume, medium, io.offset)
}

function orInto(medium: Buffer, data: Buffer, start: number, length: number): void {
  for (let at = 0; at < length; at++) medium[at]! |= data[start + at]!
}
