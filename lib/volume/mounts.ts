import { readFile, readdir, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseMountInfo, unescapeOctal } from '../util/mount-info.js'
import { major, minor, readWord } from './drivers/medium.js'

/**
 * Whether this server itself uses a disk, a partition or an image file. Two file systems on one disk, each with a cache
 * of its own, would destroy it, and a base that changes under its deltas gives every client a mixture of two disks.
 *
 * Linux tells all of it in /proc/self/mountinfo, /proc/swaps and sysfs, where a block device lists its partitions and
 * holders (device mapper, RAID) and a loop device its file. Windows and macOS refuse to open a mounted disk for
 * writing by themselves; there nothing is found here.
 */
export interface Mount {
  /** The device that is in use, for instance `/dev/sda2`. */
  readonly device: string
  /** How, as the end of a sentence: `mounted at /home`, `used as swap`. */
  readonly use: string
}

export interface MountOptions {
  /** Only this partition and what lies on it counts, and the disk as a whole. */
  readonly partition?: number | undefined
  /** Where /proc and /sys are; a spec shows a machine of its own. */
  readonly procRoot?: string
  readonly sysRoot?: string
}

/** Devices that are looked at for one question; a machine with more holders than that is not examined further. */
const DEVICES_MAX = 1024

export async function findMount(path: string, options: MountOptions = {}): Promise<Mount | undefined> {
  const machine = new Machine(options.procRoot ?? '/proc', options.sysRoot ?? '/sys')
  return machine.useOf(await machine.devicesBehind(path), options.partition)
}

/** `major:minor` → kernel name. */
type Devices = Map<string, string>

/** One machine as its /proc and /sys show it; @internal apart from specs. */
export class Machine {
  constructor(
    private readonly procRoot: string,
    private readonly sysRoot: string
  ) {}

  /** Names of the devices that a path stands for: a block device itself; for a file, the loop devices over it. */
  async devicesBehind(path: string): Promise<string[]> {
    const stats = await stat(path)
    if (!stats.isBlockDevice()) return this.loopsOver(await realpath(path))
    const name = await this.nameOf(`${major(stats.rdev)}:${minor(stats.rdev)}`)
    return name === undefined ? [] : [name]
  }

  /** How these devices, or anything on or around them, are in use. */
  async useOf(names: readonly string[], partition?: number): Promise<Mount | undefined> {
    const devices: Devices = new Map()
    for (const name of names) await this.addDisk(name, partition, devices)
    return devices.size === 0 ? undefined : this.firstUse(devices)
  }

  private async nameOf(number: string): Promise<string | undefined> {
    return realpath(join(this.sysRoot, 'dev/block', number)).then(
      (directory) => basename(directory),
      () => undefined
    )
  }

  private async loopsOver(path: string): Promise<string[]> {
    const loops = (await this.list('class/block')).filter((name) => name.startsWith('loop'))
    const files = await Promise.all(loops.map((name) => this.word(name, 'loop/backing_file')))
    return loops.filter((_name, i) => files[i] === path)
  }

  /** A disk with its partitions, or a partition with its disk (that is: the file system on all of it). */
  private async addDisk(name: string, partition: number | undefined, devices: Devices): Promise<void> {
    await this.addWithHolders(name, devices)
    for (const child of await this.partitionsOf(name)) {
      if (partition === undefined || (await this.word(child, 'partition')) === String(partition)) {
        await this.addWithHolders(child, devices)
      }
    }
    const disk = await this.diskOf(name)
    if (disk !== undefined) await this.add(disk, devices)
  }

  private async addWithHolders(name: string, devices: Devices): Promise<void> {
    if (devices.size >= DEVICES_MAX || !(await this.add(name, devices))) return
    for (const holder of await this.list(`class/block/${name}/holders`)) await this.addWithHolders(holder, devices)
    for (const child of await this.partitionsOf(name)) {
      // Partitions on a holder (a RAID with a table) count; those of the disk itself are chosen by addDisk.
      if (name.startsWith('dm-') || name.startsWith('md')) await this.addWithHolders(child, devices)
    }
  }

  /** False when it was there already, or has no number. */
  private async add(name: string, devices: Devices): Promise<boolean> {
    const number = await this.word(name, 'dev')
    if (number === undefined || devices.has(number)) return false
    devices.set(number, name)
    return true
  }

  private async partitionsOf(name: string): Promise<string[]> {
    const children = await this.list(`class/block/${name}`)
    const numbers = await Promise.all(children.map((child) => this.word(`${name}/${child}`, 'partition')))
    return children.filter((_child, i) => numbers[i] !== undefined)
  }

  /** The disk that a partition lies on. */
  private async diskOf(name: string): Promise<string | undefined> {
    if ((await this.word(name, 'partition')) === undefined) return undefined
    const directory = await realpath(join(this.sysRoot, 'class/block', name)).catch(() => undefined)
    return directory === undefined ? undefined : basename(join(directory, '..'))
  }

  private async firstUse(devices: Devices): Promise<Mount | undefined> {
    for (const { number, source, mountPoint } of parseMountInfo(await this.text('self/mountinfo'))) {
      const name = devices.get(number) ?? (await this.namedBy(source, devices))
      if (name !== undefined) return { device: `/dev/${name}`, use: `mounted at ${mountPoint}` }
    }
    const [, ...swaps] = (await this.text('swaps')).split('\n').filter((line) => line !== '')
    for (const line of swaps) {
      const name = await this.namedBy(unescapeOctal(line.split(/\s/)[0]!), devices)
      if (name !== undefined) return { device: `/dev/${name}`, use: 'used as swap' }
    }
    return undefined
  }

  /** btrfs and others mount under a number of their own, so the source's name is followed as well. */
  private async namedBy(source: string, devices: Devices): Promise<string | undefined> {
    if (!source.startsWith('/dev/')) return undefined
    const name = basename(await realpath(source).catch(() => source))
    return [...devices.values()].includes(name) ? name : undefined
  }

  private word(name: string, file: string): Promise<string | undefined> {
    return readWord(join(this.sysRoot, 'class/block', name, file))
  }

  private list(directory: string): Promise<string[]> {
    return readdir(join(this.sysRoot, directory)).catch(() => [])
  }

  private text(file: string): Promise<string> {
    return readFile(join(this.procRoot, file), 'utf8').catch(() => '')
  }
}
