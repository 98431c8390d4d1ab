import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { LBA_OUT_OF_RANGE } from '../sense.js'
import type { Task } from '../task.js'
import { form10, form16, type CdbForm } from './cdb.js'

/** IMMED: the status comes before the work. SYNC_NV (bit 2) is obsolete and asks for less than is done. */
const FLAG_IMMED = 0x02
const FLAG_SYNC_NV = 0x04

/**
 * SYNCHRONIZE CACHE(10), (16): SBC-3 §5.26, §5.27. Whatever range is named, everything is made durable. It does not
 * count as a write: a client may well send it to a disk that it can only read.
 */
export const synchronizeCache10 = synchronizeCache('SYNCHRONIZE CACHE(10)', 0x35, form10, FLAG_SYNC_NV | FLAG_IMMED)
export const synchronizeCache16 = synchronizeCache('SYNCHRONIZE CACHE(16)', 0x91, form16, FLAG_SYNC_NV | FLAG_IMMED)

function synchronizeCache(name: string, opcode: number, form: CdbForm, flags: number): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'none',
      medium: true,
      allowedUnderReservation: 'never',
      timeoutSeconds: 120,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks, flags } = rangeOf(task.cdb)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        flushFor(task, unit, (flags & FLAG_IMMED) !== 0)
      }
    },
    form
  )
}

/** Makes everything durable before the status, or after it when `immediate`; START STOP UNIT does the same. */
export function flushFor(task: Task, unit: LogicalUnit, immediate: boolean): void {
  const deferred = unit.backgroundFlush.takeFailure()
  if (deferred) return task.checkVolume(deferred)
  if (!immediate) return task.volumeIo((io) => unit.volume.flush(io))
  unit.backgroundFlush.request()
  task.good()
}
