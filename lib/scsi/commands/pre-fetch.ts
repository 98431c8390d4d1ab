import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { readThrough } from '../pieces.js'
import { LBA_OUT_OF_RANGE } from '../sense.js'
import { Status } from '../status.js'
import type { Task } from '../task.js'
import { cdb10, cdb16, range10, range16, type ReadRange } from './cdb.js'

const FLAG_IMMED = 0x02
/** More than this is not fetched, as if it were all that the cache holds. */
const MAX_FETCHED_BYTES = 16 * 1024 * 1024

/**
 * PRE-FETCH(10), (16): SBC-3 §5.8, §5.9. What is read lands in the page cache of the server or in the read cache of
 * the base; GOOD says that not all of the range was fetched, CONDITION MET that it was.
 */
export const preFetch10 = preFetch('PRE-FETCH(10)', 0x34, cdb10, range10, [
  0x34,
  FLAG_IMMED,
  0xff,
  0xff,
  0xff,
  0xff,
  0x1f,
  0xff,
  0xff,
  0x00
])
export const preFetch16 = preFetch('PRE-FETCH(16)', 0x90, cdb16, range16, [
  0x90,
  FLAG_IMMED,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0xff,
  0x1f,
  0x00
])

function preFetch(
  name: string,
  opcode: number,
  cdb: { readonly length: number },
  rangeOf: ReadRange,
  usage: readonly number[]
): Command {
  return defineCommand(
    {
      opcode,
      name,
      usage,
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
    cdb
  )
}
