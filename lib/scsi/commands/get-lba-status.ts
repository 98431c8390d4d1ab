import { bytes, defineLayout, u32, u64, u8 } from '../../layout/layout.js'
import { defineCommand } from '../command.js'
import type { LogicalUnit } from '../logical-unit.js'
import { LBA_OUT_OF_RANGE } from '../sense.js'

const cdb = defineLayout(16, {
  opcode: u8,
  serviceAction: u8,
  lba: u64,
  allocationLength: u32,
  reserved: u8,
  control: u8
})
const view = cdb.view()

const descriptor = defineLayout(16, { lba: u64, blocks: u32, status: u8, reserved: bytes(3) })

const HEADER_LENGTH = 8
const STATUS_MAPPED = 0
const STATUS_DEALLOCATED = 1
/** One answer has at most so many descriptors, and is made from at most so many extents of the volume. */
const MAX_DESCRIPTORS = 256
const MAX_EXTENTS = 2048
const MAX_DESCRIPTOR_BLOCKS = 0xffffffff
/** How far one look into the volume goes. */
const LOOK_BYTES = 1024 * 1024 * 1024

/** GET LBA STATUS, SBC-3 §5.4. At least one descriptor, none of them empty; the client asks on where they end. */
export const getLbaStatus = defineCommand(
  {
    opcode: 0x9e,
    serviceAction: 0x12,
    name: 'GET LBA STATUS',
    usage: [0x9e, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00],
    access: 'read',
    medium: true,
    execute(task, unit) {
      const { lba, allocationLength } = view.at(task.cdb)
      if (!unit.covers(lba, 1)) return task.check(LBA_OUT_OF_RANGE)
      const wanted = Math.floor((allocationLength - HEADER_LENGTH) / descriptor.length)
      const descriptors = lbaStatus(unit, lba, Math.min(Math.max(wanted, 1), MAX_DESCRIPTORS))
      const header = Buffer.alloc(HEADER_LENGTH)
      header.writeUInt32BE(HEADER_LENGTH - 4 + descriptors.length * descriptor.length, 0)
      task.reply(Buffer.concat([header, ...descriptors.map((run) => descriptor.make(run))]), allocationLength)
    }
  },
  cdb
)

interface Run {
  readonly lba: number
  blocks: number
  readonly status: number
}

function lbaStatus(unit: LogicalUnit, lba: number, limit: number): Run[] {
  const runs: Run[] = []
  let next = lba
  for (let looks = 0; looks < MAX_EXTENTS && next < unit.blockCount; looks++) {
    const { blocks, status } = extentAt(unit, next)
    const last = runs.at(-1)
    if (last?.status === status && last.blocks + blocks <= MAX_DESCRIPTOR_BLOCKS) last.blocks += blocks
    else if (runs.length === limit) break
    else runs.push({ lba: next, blocks, status })
    next += blocks
  }
  return runs
}

/** Whole blocks of one status. A block that is stored in part counts as mapped. */
function extentAt(unit: LogicalUnit, lba: number): { blocks: number; status: number } {
  const room = unit.blockCount - lba
  if (!unit.thin) return { blocks: Math.min(room, MAX_DESCRIPTOR_BLOCKS), status: STATUS_MAPPED }
  const offset = lba * unit.blockSize
  const extent = unit.volume.extent(offset, Math.min(room * unit.blockSize, LOOK_BYTES))
  const whole = Math.floor(extent.length / unit.blockSize)
  if (whole === 0) return { blocks: 1, status: STATUS_MAPPED }
  return { blocks: whole, status: extent.mapped ? STATUS_MAPPED : STATUS_DEALLOCATED }
}
