import { defineLayout, u16, u64, u8 } from '../../layout/layout.js'
import { flushVolume, writeAtomically } from '../../volume/promises.js'
import { defineCommand } from '../command.js'
import { invalidCdbField } from '../invalid-field.js'
import { atomicGranularityBlocks, maxAtomicBlocks } from '../limits.js'
import { INVALID_FIELD_IN_INFORMATION_UNIT, LBA_OUT_OF_RANGE } from '../sense.js'
import { FLAG_DPO, FLAG_FUA, mustFlush } from './cdb.js'

const cdb = defineLayout(16, {
  opcode: u8,
  flags: u8,
  lba: u64,
  boundary: u16,
  blocks: u16,
  group: u8,
  control: u8
})
const view = cdb.view()

const LBA_BYTE = 2
const BLOCKS_BYTE = 12

/**
 * WRITE ATOMIC(16), SBC-4 §5.47: all of the data or none of it, also after a power cut, and no other command sees a part.
 * It runs alone in its task set and needs a volume that can do the rest, which only a delta can. No atomic boundaries.
 */
export const writeAtomic16 = defineCommand(
  {
    opcode: 0x9c,
    name: 'WRITE ATOMIC(16)',
    usage: [
      0x9c,
      FLAG_DPO | FLAG_FUA,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0xff,
      0x00,
      0x00,
      0xff,
      0xff,
      0x1f,
      0x00
    ],
    access: 'write',
    medium: true,
    alone: true,
    supported: (unit) => unit.atomicWrites,
    execute(task, unit) {
      const { lba, blocks } = view.at(task.cdb)
      if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
      const granularity = atomicGranularityBlocks(unit)
      if (lba % granularity !== 0) return invalidCdbField(task, LBA_BYTE, 7)
      if (blocks % granularity !== 0 || blocks > maxAtomicBlocks(unit)) return invalidCdbField(task, BLOCKS_BYTE, 7)
      const length = blocks * unit.blockSize
      if (task.expectedDataOut !== length) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
      task.gather(length)
    },
    finish(task, unit) {
      const data = task.parameters!
      if (data.length === 0) return task.good()
      if (task.received < data.length) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
      const { lba, flags } = view.at(task.cdb)
      const forced = mustFlush(flags, unit)
      task.run(async () => {
        await writeAtomically(unit.volume, data, lba * unit.blockSize)
        if (forced) await flushVolume(unit.volume)
      })
    }
  },
  cdb
)
