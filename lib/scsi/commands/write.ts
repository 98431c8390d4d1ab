import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE } from '../sense.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { Task } from '../task.js'
import { FLAG_DPO, FLAG_FUA, mustFlush, form6, form10, form12, form16, type CdbForm } from './cdb.js'

/** WRITE(6), (10), (12), (16): SBC-3 §5.32 to §5.35. The data goes to the medium as it arrives. */
export const write6 = write('WRITE(6)', 0x0a, form6)
export const write10 = write('WRITE(10)', 0x2a, form10, FLAG_DPO | FLAG_FUA)
export const write12 = write('WRITE(12)', 0xaa, form12, FLAG_DPO | FLAG_FUA)
export const write16 = write('WRITE(16)', 0x8a, form16, FLAG_DPO | FLAG_FUA)

function write(name: string, opcode: number, form: CdbForm, flags = 0): Command {
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
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        const length = blocks * unit.blockSize
        if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
        task.writeMedium(lba * unit.blockSize, length)
      },
      finish(task: Task, unit: LogicalUnit) {
        // A 6-byte CDB has no FUA; its byte 1 is part of the LBA.
        const flags = form === form6 ? 0 : task.cdb[1]!
        if (task.received > 0 && mustFlush(flags, unit)) task.volumeIo((io) => unit.volume.flush(io))
        else task.good()
      }
    },
    form
  )
}
