import { flushVolume, writeVolume } from '../../volume/promises.js'
import type { BlockIo } from '../../volume/block-io.js'
import { defineCommand, type Command } from '../command.js'
import { equalsMediumNow } from '../compare-medium.js'
import { invalidCdbField } from '../invalid-field.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { readThrough } from '../pieces.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE, MISCOMPARE_DURING_VERIFY } from '../sense.js'
import type { Task } from '../task.js'
import { FLAG_DPO, form10, form12, form16, type CdbForm } from './cdb.js'
import { BYTCHK_MASK, ByteCheck, MISCOMPARED, byteCheck, compareLater } from './verify.js'

/** WRITE AND VERIFY(10), (12), (16): SBC-3 §5.37 to §5.39. Durable before its status, as a write medium operation. */
export const writeAndVerify10 = writeAndVerify('WRITE AND VERIFY(10)', 0x2e, form10, FLAG_DPO | BYTCHK_MASK)
export const writeAndVerify12 = writeAndVerify('WRITE AND VERIFY(12)', 0xae, form12, FLAG_DPO | BYTCHK_MASK)
export const writeAndVerify16 = writeAndVerify('WRITE AND VERIFY(16)', 0x8e, form16, FLAG_DPO | BYTCHK_MASK)

function writeAndVerify(name: string, opcode: number, form: CdbForm, flags: number): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'write',
      medium: true,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks } = rangeOf(task.cdb)
        // Bit 2 alone or with bit 1: 10b and 11b are reserved here.
        if (byteCheck(task.cdb) > ByteCheck.Compare) return invalidCdbField(task, 1, 2)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        const length = blocks * unit.blockSize
        if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
        task.writeMedium(lba * unit.blockSize, length)
      },
      receive(task, unit, buffer, start, length, at) {
        const offset = task.mediumOffset + at
        if (!unit.volume.tryWrite(buffer, start, length, offset)) return false
        if (byteCheck(task.cdb) === ByteCheck.None) return true
        const equal = equalsMediumNow(unit.volume, buffer, start, length, offset)
        if (equal === false) task.scratch = MISCOMPARED
        // Where the read would block the piece goes the slow way, which writes the same bytes once more.
        return equal !== undefined
      },
      receiveLater(task, unit, io: BlockIo) {
        writeVolume(unit.volume, io.buffer, io.offset).then(
          () => {
            if (byteCheck(task.cdb) === ByteCheck.None) io.complete()
            else compareLater(task, unit, io)
          },
          (error: unknown) => io.complete(error as Error)
        )
      },
      finish(task, unit) {
        if (task.scratch === MISCOMPARED) return task.check(MISCOMPARE_DURING_VERIFY)
        if (task.received === 0) return task.good()
        task.run(async () => {
          if (byteCheck(task.cdb) === ByteCheck.None) {
            await readThrough(task, unit.volume, task.mediumOffset, task.received)
          }
          await flushVolume(unit.volume)
        })
      }
    },
    form
  )
}
