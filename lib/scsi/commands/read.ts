import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE } from '../sense.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { Task } from '../task.js'
import { cdb10, cdb12, cdb16, cdb6, range10, range12, range16, range6, type ReadRange } from './cdb.js'

/** READ(6), (10), (12), (16): SBC-3 §5.10 to §5.13. The transport pulls the data straight from the medium. */
export const read6 = read('READ(6)', 0x08, cdb6, range6, [0x08, 0x1f, 0xff, 0xff, 0xff, 0x00])
export const read10 = read(
  'READ(10)',
  0x28,
  cdb10,
  range10,
  [0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00]
)
export const read12 = read(
  'READ(12)',
  0xa8,
  cdb12,
  range12,
  [0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00]
)
export const read16 = read(
  'READ(16)',
  0x88,
  cdb16,
  range16,
  [0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00]
)

function read(
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
        const { lba, blocks } = rangeOf(task.cdb)
        if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
        const length = blocks * unit.blockSize
        if (length > MAX_TRANSFER_BYTES) return task.check(INVALID_FIELD_IN_CDB)
        task.readMedium(lba * unit.blockSize, length)
      }
    },
    cdb
  )
}
