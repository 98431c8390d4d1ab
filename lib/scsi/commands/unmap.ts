import { bytes, defineLayout, u16, u32, u64, u8 } from '../../layout/layout.js'
import { flushVolume, zeroVolume } from '../../volume/promises.js'
import { defineCommand } from '../command.js'
import { invalidParameter } from '../invalid-field.js'
import { MAX_UNMAP_BLOCKS, MAX_UNMAP_DESCRIPTORS } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { ZERO_PIECE_BYTES, inPieces } from '../pieces.js'
import { LBA_OUT_OF_RANGE, PARAMETER_LIST_LENGTH_ERROR } from '../sense.js'
import type { Task } from '../task.js'

const cdb = defineLayout(10, {
  opcode: u8,
  flags: u8,
  reserved: u32,
  group: u8,
  parameterListLength: u16,
  control: u8
})
const view = cdb.view()

/** SBC-3 tables 89 and 90. */
const header = defineLayout(8, { dataLength: u16, descriptorsLength: u16, reserved: u32 })
const descriptor = defineLayout(16, { lba: u64, blocks: u32, reserved: bytes(4) })
const headerView = header.view()
const descriptorView = descriptor.view()

const DESCRIPTORS_LENGTH_BYTE = 2
/** BLOCKS stands in the second half of a descriptor. */
const BLOCKS_OFFSET = 8

/** UNMAP, SBC-3 §5.28. ANCHOR stays out of the usage map. Nothing is unmapped unless every descriptor is good. */
export const unmap = defineCommand(
  {
    opcode: 0x42,
    name: 'UNMAP',
    usage: [0x42, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0xff, 0xff, 0x00],
    access: 'write',
    medium: true,
    timeoutSeconds: 120,
    supported: (unit) => unit.thin,
    execute(task) {
      const { parameterListLength } = view.at(task.cdb)
      if (parameterListLength === 0) return task.good()
      if (parameterListLength < header.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
      task.gather(parameterListLength)
    },
    finish(task, unit) {
      if (task.received < task.parameters!.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
      const extents = readExtents(task, unit, task.parameters!)
      if (!extents) return
      task.run(async () => {
        for (const { lba, blocks } of extents) await unmapExtent(task, unit, lba, blocks)
        if (!unit.writeCacheEnabled) await flushVolume(unit.volume)
      })
    }
  },
  cdb
)

interface LbaExtent {
  readonly lba: number
  readonly blocks: number
}

/**
 * The extents of a parameter list, or undefined when the task has ended with what is wrong. SBC-3 §5.28.2: a
 * descriptor that is not there as a whole is ignored.
 */
function readExtents(task: Task, unit: LogicalUnit, list: Buffer): LbaExtent[] | undefined {
  const { descriptorsLength } = headerView.at(list)
  const count = Math.floor(Math.min(descriptorsLength, list.length - header.length) / descriptor.length)
  if (count > MAX_UNMAP_DESCRIPTORS) return void invalidParameter(task, DESCRIPTORS_LENGTH_BYTE)
  const extents: LbaExtent[] = []
  let total = 0
  for (let index = 0; index < count; index++) {
    const at = header.length + index * descriptor.length
    const { lba, blocks } = descriptorView.at(list, at)
    if (!unit.covers(lba, blocks)) return void task.check(LBA_OUT_OF_RANGE)
    total += blocks
    if (total > MAX_UNMAP_BLOCKS) return void invalidParameter(task, at + BLOCKS_OFFSET)
    extents.push({ lba, blocks })
  }
  return extents
}

function unmapExtent(task: Task, unit: LogicalUnit, lba: number, blocks: number): Promise<void> {
  const offset = lba * unit.blockSize
  return inPieces(task, blocks * unit.blockSize, ZERO_PIECE_BYTES, (at, length) =>
    zeroVolume(unit.volume, offset + at, length, true)
  )
}
