import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE } from '../sense.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { Task } from '../task.js'
import { FLAG_DPO, FLAG_FUA, form6, form10, form12, form16, type CdbForm } from './cdb.js'

/** READ(6), (10), (12), (16): SBC-3 §5.10 to §5.13. The transport pulls the data straight from the medium. */
export const read6 = read('READ(6)', 0x08, form6)
export const read10 = read('READ(10)', 0x28, form10, FLAG_DPO | FLAG_FUA)
export const read12 = read('READ(12)', 0xa8, form12, FLAG_DPO | FLAG_FUA)
export const read16 = read('READ(16)', 0x88, form16, FLAG_DPO | FLAG_FUA)

function read(name: string, opcode: number, form: CdbForm, flags = 0): Command {
  const { rangeOf } = form
  return defineCommand(
    {
      opcode,
      name,
      usage: form.usage(opcode, flags),
      access: 'read',
      medium: true,
      execute(task: Task, unit: LogicalUnit) {
        const { lba, blocks } = rangeOf(task.cdb)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        const length = blocks * unit.blockSize
        if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
        unit.firstReads?.note(lba * unit.blockSize, length)
        task.readMedium(lba * unit.blockSize, length)
      }
    },
    form
  )
}
