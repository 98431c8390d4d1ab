import { defineCommand, type Command } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { INVALID_FIELD_IN_CDB, LBA_OUT_OF_RANGE } from '../sense.js'
import { MAX_TRANSFER_BYTES } from '../limits.js'
import type { Task } from '../task.js'
import { cdb10, cdb12, cdb16, cdb6, mustFlush, range10, range12, range16, range6, type ReadRange } from './cdb.js'

/** WRITE(6), (10), (12), (16): SBC-3 §5.32 to §5.35. The data goes to the medium as it arrives. */
export const write6 = write('WRITE(6)', 0x0a, cdb6, range6, [0x0a, 0x1f, 0xff, 0xff, 0xff, 0x00])
export const write10 = write(
  'WRITE(10)',
  0x2a,
  cdb10,
  range10,
  [0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00]
)
export const write12 = write(
  'WRITE(12)',
  0xaa,
  cdb12,
  range12,
  [0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00]
)
export const write16 = write(
  'WRITE(16)',
  0x8a,
  cdb16,
  range16,
  [0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00]
)

function write(
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
        const flags = cdb === cdb6 ? 0 : task.cdb[1]!
        if (task.received > 0 && mustFlush(flags, unit)) task.volumeIo((io) => unit.volume.flush(io))
        else task.good()
      }
    },
    cdb
  )
}
