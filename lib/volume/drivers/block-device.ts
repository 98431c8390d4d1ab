import fs, { type Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { IscsiError } from '../../util/errors.js'
import { defineDriver } from './driver.js'
import { FileVolume, SECTOR_LENGTH, refuseMounted } from './file.js'
import { SYS_ROOT, major, minor, readWord } from './medium.js'

/**
 * A disk or a partition of this server. Always accessed through the thread pool, because there may be a real spindle
 * behind it. Refused when this server has it, a part of it or the whole around it mounted; on Linux it is also opened
 * exclusively, so that it cannot be mounted while it is served.
 */
export interface BlockDeviceOptions {
  readonly path: string
  readonly readOnly: boolean
  /** Only this partition will be used; others of the same disk may be mounted. */
  readonly partition?: number | undefined
}

/** Devices beyond this size cannot be addressed with plain numbers anyway. */
const SIZE_MAX = 2 ** 53
/** Bytes that an attempt to find the end reads; every device has sectors of at most this. */
const PROBE_LENGTH = 4096

export class BlockDeviceVolume extends FileVolume {
  /** Bytes; what the device's own partition table counts in. Known from open() on, on Linux. */
  logicalBlockSize = SECTOR_LENGTH
  private readonly partition: number | undefined

  constructor(options: BlockDeviceOptions) {
    super({ path: options.path, readOnly: options.readOnly, pooled: true })
    this.partition = options.partition
  }

  protected override openFlags(): number {
    // O_EXCL on a Linux block device is a claim that mount(2) respects. The whole disk cannot be claimed while another
    // partition of it is mounted, which `partition` allows.
    const exclusive = process.platform === 'linux' && this.partition === undefined ? fs.constants.O_EXCL : 0
    return super.openFlags() | exclusive
  }

  protected override expectKind(stats: Stats): void {
    // macOS' raw disks are character devices.
    if (stats.isBlockDevice() || (process.platform !== 'linux' && stats.isCharacterDevice())) return
    throw new IscsiError('ERR_ISCSI_IMAGE_TYPE', `${this.path} is not a block device`)
  }

  protected override async measure(handle: FileHandle, stats: Stats): Promise<number> {
    const device = join(SYS_ROOT, 'dev/block', `${major(stats.rdev)}:${minor(stats.rdev)}`)
    // A partition has no queue; its disk, one directory up, has.
    const queues = ['queue', '../queue'].map((queue) => readWord(join(device, queue, 'logical_block_size')))
    const blockSize = (await Promise.all(queues)).find((word) => word !== undefined)
    if (blockSize !== undefined) this.logicalBlockSize = Number(blockSize)
    // Linux lets root open a write-protected device for writing and fails each write.
    if (!this.readOnly && (await readWord(join(device, 'ro'))) === '1') {
      throw new IscsiError('ERR_ISCSI_IMAGE_PERMISSION', `${this.path} is write-protected`)
    }
    const sectors = await readWord(join(device, 'size'))
    // sysfs counts in 512 bytes whatever the blocks of the device are.
    return sectors === undefined ? probeSize(handle) : Number(sectors) * SECTOR_LENGTH
  }

  protected override expectUnmounted(): Promise<void> {
    return refuseMounted(this.path, this.partition)
  }
}

/** The size of something that does not tell it: where reading ends, to a multiple of {@link PROBE_LENGTH}. */
export async function probeSize(handle: FileHandle): Promise<number> {
  let inside = 0
  let outside = PROBE_LENGTH
  while (outside < SIZE_MAX && (await holds(handle, outside - PROBE_LENGTH))) {
    inside = outside
    outside *= 2
  }
  while (outside - inside > PROBE_LENGTH) {
    const middle = inside + Math.floor((outside - inside) / 2 / PROBE_LENGTH) * PROBE_LENGTH
    if (await holds(handle, middle - PROBE_LENGTH)) inside = middle
    else outside = middle
  }
  return inside
}

/** Whether a probe can be read there in full. Some systems fail behind the end instead of giving no bytes. */
async function holds(handle: FileHandle, offset: number): Promise<boolean> {
  const { bytesRead } = await handle
    .read(Buffer.alloc(PROBE_LENGTH), 0, PROBE_LENGTH, offset)
    .catch(() => ({ bytesRead: 0 }))
  return bytesRead === PROBE_LENGTH
}

export const blockDeviceDriver = defineDriver({
  scheme: 'device',
  title: 'PATH, a disk or partition of this server',
  open: (location, options) =>
    new BlockDeviceVolume({ path: location, readOnly: options.readOnly, partition: options.partition })
})
