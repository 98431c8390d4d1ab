import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { readThrough } from '../pieces.js'
import { LBA_OUT_OF_RANGE } from '../sense.js'
import { Status } from '../status.js'
import type { Task } from '../task.js'
import { form10, form16, type CdbForm } from './cdb.js'

const FLAG_IMMED = 0x02
/** More than this is not fetched, as if it were all that the cache holds. */
const MAX_FETCHED_BYTES = 16 * 1024 * 1024

/**
 * PRE-FETCH(10), (16): SBC-3 §5.8, §5.9. What is read lands in the page cache of the server or in the read cache of
 * the base; GOOD says that not all of the range was fetched, CONDITION MET that it was.
 */
export const preFetch10 = preFetch('PRE-FETCH(10)', 0x34, form10, FLAG_IMMED)
export const preFetch16 = preFetch('PRE-FETCH(16)', 0x90, form16, FLAG_IMMED)

function preFetch(name: string, opcode: number, form: CdbForm, flags: number): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'read',
      medium: true,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks, flags } = rangeOf(task.cdb)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        const length = (blocks === 0 ? unit.blockCount - lba : blocks) * unit.blockSize
        const status = length <= MAX_FETCHED_BYTES ? Status.ConditionMet : Status.Good
        // A hint that nobody waits for is not worth work that outlives its task.
        if ((flags & FLAG_IMMED) !== 0) return task.end(Status.Good)
        task.run(async () => {
          await readThrough(task, unit.volume, lba * unit.blockSize, Math.min(length, MAX_FETCHED_BYTES))
          task.end(status)
        })
      }
    },
    form
  )
}
