import { bytes, defineLayout, u64, u8 } from '../../layout/layout.js'
import { flushVolume, writeVolume } from '../../volume/promises.js'
import { defineCommand } from '../command.js'
import { firstMediumDifference } from '../compare-medium.js'
import { invalidCdbField } from '../invalid-field.js'
import { MAX_COMPARE_AND_WRITE_BLOCKS } from '../limits.js'
import { INVALID_FIELD_IN_INFORMATION_UNIT, LBA_OUT_OF_RANGE, MISCOMPARE_DURING_VERIFY } from '../sense.js'
import type { Task } from '../task.js'
import { FLAG_DPO, FLAG_FUA, mustFlush } from './cdb.js'

const cdb = defineLayout(16, {
  opcode: u8,
  flags: u8,
  lba: u64,
  reserved: bytes(3),
  blocks: u8,
  group: u8,
  control: u8
})
const view = cdb.view()

const BLOCKS_BYTE = 13

/**
 * COMPARE AND WRITE, SBC-3 §5.2: blocks to compare with, then as many to write if they are equal. It is atomic because
 * it runs alone in its task set. The miscompare says the offset of the first byte that differs.
 */
export const compareAndWrite = defineCommand(
  {
    opcode: 0x89,
    name: 'COMPARE AND WRITE',
    usage: [
      0x89,
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
      0x00,
      0xff,
      0x1f,
      0x00
    ],
    access: 'write',
    medium: true,
    alone: true,
    execute(task, unit) {
      const { lba, blocks } = view.at(task.cdb)
      if (!unit.covers(lba, blocks)) return task.check(LBA_OUT_OF_RANGE)
      if (blocks > MAX_COMPARE_AND_WRITE_BLOCKS) return invalidCdbField(task, BLOCKS_BYTE, 7)
      // Another length than both halves have is a mistake of the client's; nothing may be compared or written by it.
      const length = 2 * blocks * unit.blockSize
      if (task.expectedDataOut !== length) return refuseLength(task, blocks)
      task.gather(length)
    },
    finish(task, unit) {
      const data = task.parameters!
      if (data.length === 0) return task.good()
      if (task.received < data.length) return task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
      const { lba, flags } = view.at(task.cdb)
      const offset = lba * unit.blockSize
      const forced = mustFlush(flags, unit)
      const expected = data.subarray(0, data.length / 2)
      task.run(async () => {
        const difference = await firstMediumDifference(unit.volume, expected, offset)
        if (difference >= 0) return task.check(MISCOMPARE_DURING_VERIFY, { information: difference })
        await writeVolume(unit.volume, data.subarray(data.length / 2), offset)
        if (forced) await flushVolume(unit.volume)
      })
    }
  },
  cdb
)

/** Data for no blocks at all: the number in the CDB is wrong, for 256 blocks do not fit into its byte. */
function refuseLength(task: Task, blocks: number): void {
  if (blocks === 0) invalidCdbField(task, BLOCKS_BYTE, 7)
  else task.check(INVALID_FIELD_IN_INFORMATION_UNIT)
}
