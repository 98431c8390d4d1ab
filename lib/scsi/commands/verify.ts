import { defineCommand, type Command } from '../command.js'
import { equalsMediumNow, firstMediumDifference } from '../compare-medium.js'
import { invalidCdbField } from '../invalid-field.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { inPieces, readThrough } from '../pieces.js'
import {
  INVALID_FIELD_IN_CDB,
  INVALID_FIELD_IN_INFORMATION_UNIT,
  LBA_OUT_OF_RANGE,
  MISCOMPARE_DURING_VERIFY
} from '../sense.js'
import type { Task } from '../task.js'
import type { BlockIo } from '../../volume/block-io.js'
import { FLAG_DPO, form10, form12, form16, type CdbForm, type ReadRange } from './cdb.js'

/** BYTCHK, bits 2-1 of byte 1. */
export const BYTCHK_MASK = 0x06
export const ByteCheck = { None: 0, Compare: 1, Reserved: 2, CompareOneBlock: 3 } as const

/** VERIFY(10), (12), (16): SBC-3 §5.29 to §5.31. Sent data is compared as it arrives, and is kept nowhere. */
export const verify10 = verify('VERIFY(10)', 0x2f, form10, FLAG_DPO | BYTCHK_MASK)
export const verify12 = verify('VERIFY(12)', 0xaf, form12, FLAG_DPO | BYTCHK_MASK)
export const verify16 = verify('VERIFY(16)', 0x8f, form16, FLAG_DPO | BYTCHK_MASK)

export function byteCheck(cdb: Buffer): number {
  return (cdb[1]! >>> 1) & 3
}

/** In `task.scratch` of a task whose data differed from the medium. */
export const MISCOMPARED = Symbol('miscompared')

function verify(name: string, opcode: number, form: CdbForm, flags: number): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'read',
      medium: true,
      timeoutSeconds: 120,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks } = rangeOf(task.cdb)
        const check = byteCheck(task.cdb)
        if (check === ByteCheck.Reserved) return invalidCdbField(task, 1, 2)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        if (blocks === 0) return task.good()
        const offset = lba * unit.blockSize
        const length = blocks * unit.blockSize
        if (check === ByteCheck.None) return task.run(() => readThrough(task, unit.volume, offset, length))
        if (check === ByteCheck.CompareOneBlock) return task.gather(unit.blockSize)
        if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
        // Nothing is written: the data goes to `receive` below, at places on the medium.
        task.writeMedium(offset, length)
      },
      receive(task, unit, buffer, start, length, at) {
        if (task.scratch === MISCOMPARED) return true
        const equal = equalsMediumNow(unit.volume, buffer, start, length, task.mediumOffset + at)
        if (equal === false) task.scratch = MISCOMPARED
        return equal !== undefined
      },
      receiveLater: compareLater,
      finish(task, unit) {
        if (byteCheck(task.cdb) === ByteCheck.CompareOneBlock) return finishOneBlock(task, unit, rangeOf)
        if (task.scratch === MISCOMPARED) task.check(MISCOMPARE_DURING_VERIFY)
        else task.good()
      }
    },
    form
  )
}

/** Compares a piece that had to be copied because the disk was slow. */
export function compareLater(task: Task, unit: LogicalUnit, io: BlockIo): void {
  firstMediumDifference(unit.volume, io.buffer, io.offset).then(
    (difference) => {
      if (difference >= 0) task.scratch = MISCOMPARED
      io.complete()
    },
    (error: unknown) => io.complete(error as Error)
  )
}

/** BYTCHK=11b: every block of the range against the one that was sent. */
function finishOneBlock(task: Task, unit: LogicalUnit, rangeOf: ReadRange): void {
  if (task.received < unit.blockSize) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
  const { lba, blocks } = rangeOf(task.cdb)
  const offset = lba * unit.blockSize
  const length = blocks * unit.blockSize
  const expected = repeated(task.parameters!, Math.min(length, COMPARE_BYTES))
  task.run(() =>
    inPieces(task, length, COMPARE_BYTES, async (at, count) => {
      if (task.scratch === MISCOMPARED) return
      if ((await firstMediumDifference(unit.volume, expected.subarray(0, count), offset + at)) < 0) return
      task.scratch = MISCOMPARED
      task.check(MISCOMPARE_DURING_VERIFY)
    })
  )
}

/** A multiple of every block size. */
const COMPARE_BYTES = 64 * 1024

function repeated(block: Buffer, length: number): Buffer {
  return Buffer.alloc(length, block)
}
