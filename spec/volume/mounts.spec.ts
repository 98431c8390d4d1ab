import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Machine, findMount, type Mount } from '../../lib/volume/mounts.js'

/**
 * A machine of our own: /proc and /sys as Linux writes them, in a directory.
 *
 *     sda (8:0)   sda1 (8:1) · sda2 (8:2) held by dm-0 (253:0)   ·   md0 (9:0) over sdb (8:16), with md0p1 (259:0)
 */
let root: string
let options: { procRoot: string; sysRoot: string }

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-machine-'))
  options = { procRoot: join(root, 'proc'), sysRoot: join(root, 'sys') }
  await mkdir(join(root, 'proc/self'), { recursive: true })
  await disk('sda', '8:0')
  await partition('sda', 'sda1', '8:1', 1)
  await partition('sda', 'sda2', '8:2', 2)
  await disk('dm-0', '253:0')
  await holder('sda/sda2', 'dm-0')
  await disk('sdb', '8:16')
  await disk('md0', '9:0')
  await partition('md0', 'md0p1', '259:0', 1)
  await holder('sdb', 'md0')
  await disk('loop7', '7:7')
  await put('sys/devices/loop7/loop/backing_file', `${join(root, 'disk.img')}\n`)
  await writeFile(join(root, 'disk.img'), '')
  await writeFile(join(root, 'other.img'), '')
})
afterEach(async () => rm(root, { recursive: true }))

async function put(path: string, text: string): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true })
  await writeFile(join(root, path), text)
}

async function link(name: string, number: string, place: string): Promise<void> {
  await mkdir(join(root, 'sys/class/block'), { recursive: true })
  await mkdir(join(root, 'sys/dev/block'), { recursive: true })
  await symlink(join(root, 'sys/devices', place), join(root, 'sys/class/block', name))
  await symlink(join(root, 'sys/devices', place), join(root, 'sys/dev/block', number))
}

async function disk(name: string, number: string): Promise<void> {
  await put(`sys/devices/${name}/dev`, `${number}\n`)
  await mkdir(join(root, `sys/devices/${name}/holders`), { recursive: true })
  await link(name, number, name)
}

async function partition(parent: string, name: string, number: string, index: number): Promise<void> {
  await put(`sys/devices/${parent}/${name}/dev`, `${number}\n`)
  await put(`sys/devices/${parent}/${name}/partition`, `${index}\n`)
  await link(name, number, `${parent}/${name}`)
}

async function holder(device: string, name: string): Promise<void> {
  await mkdir(join(root, `sys/devices/${device}/holders`, name), { recursive: true })
}

/** What is mounted: number, mount point, source. */
async function mounted(...rows: [string, string, string][]): Promise<void> {
  const lines = rows.map(([number, point, source]) => `36 35 ${number} / ${point} rw shared:1 - ext4 ${source} rw`)
  await put('proc/self/mountinfo', `22 27 0:21 / /proc rw - proc proc rw\n${lines.join('\n')}\n`)
}

function useOf(device: string, number?: number): Promise<Mount | undefined> {
  return new Machine(options.procRoot, options.sysRoot).useOf([device], number)
}

describe('the search for mounts', () => {
  it('finds nothing where nothing is mounted', async () => {
    await mounted(['8:32', '/', '/dev/sdc'])
    for (const device of ['sda', 'sda1', 'sda2', 'dm-0', 'sdb', 'md0']) expect(await useOf(device)).toBeUndefined()
  })

  it.each([
    ['a disk that is mounted itself', 'sda', '8:0', 'sda'],
    ['a partition of the disk', 'sda', '8:1', 'sda1'],
    ['a partition that is mounted itself', 'sda1', '8:1', 'sda1'],
    ['the disk around the partition', 'sda1', '8:0', 'sda'],
    ['a device mapper over the partition', 'sda2', '253:0', 'dm-0'],
    ['a device mapper over a partition of the disk', 'sda', '253:0', 'dm-0'],
    ['a RAID over the disk', 'sdb', '9:0', 'md0'],
    ['a partition of a RAID over the disk', 'sdb', '259:0', 'md0p1']
  ])('finds %s', async (_what, device, number, found) => {
    await mounted([number, '/mnt', '/dev/whatever'])
    expect(await useOf(device)).toEqual({ device: `/dev/${found}`, use: 'mounted at /mnt' })
  })

  it('does not mind the neighbour of a partition', async () => {
    await mounted(['8:2', '/home', '/dev/sda2'], ['253:0', '/', '/dev/mapper/root'])
    expect(await useOf('sda1')).toBeUndefined()
  })

  it.each([
    [1, undefined],
    [2, '/dev/dm-0'],
    [3, undefined]
  ])('looks at partition %d alone when only that one is used: %s', async (number, found) => {
    await mounted(['253:0', '/', '/dev/mapper/root'])
    expect((await useOf('sda', number))?.device).toBe(found)
  })

  it('follows the name where the number is that of a file system, as with btrfs', async () => {
    await mounted(['0:45', '/data', '/dev/sda1'])
    expect(await useOf('sda')).toEqual({ device: '/dev/sda1', use: 'mounted at /data' })
  })

  it('reads names with blanks', async () => {
    await mounted(['8:1', '/media/USB\\040disk', '/dev/sda1'])
    expect((await useOf('sda'))!.use).toBe('mounted at /media/USB disk')
  })

  it('finds swap', async () => {
    await mounted()
    await put('proc/swaps', 'Filename\t\tType\t\tSize\tUsed\tPriority\n/dev/sda1   partition\t1024\t0\t-2\n')
    expect(await useOf('sda')).toEqual({ device: '/dev/sda1', use: 'used as swap' })
  })

  it('finds an image that is mounted by way of a loop device', async () => {
    await mounted(['7:7', '/mnt', '/dev/loop7'])
    expect(await findMount(join(root, 'disk.img'), options)).toEqual({ device: '/dev/loop7', use: 'mounted at /mnt' })
    expect(await findMount(join(root, 'other.img'), options)).toBeUndefined()
  })

  it('finds an image by another name for it', async () => {
    await mounted(['7:7', '/mnt', '/dev/loop7'])
    await symlink(join(root, 'disk.img'), join(root, 'alias.img'))
    expect((await findMount(join(root, 'alias.img'), options))!.device).toBe('/dev/loop7')
  })

  it('finds nothing on a system without /proc and /sys', async () => {
    const nowhere = { procRoot: join(root, 'x'), sysRoot: join(root, 'y') }
    expect(await findMount(join(root, 'disk.img'), nowhere)).toBeUndefined()
  })

  it('does not stumble over lines that it cannot read', async () => {
    await put(
      'proc/self/mountinfo',
      '\n36 35\n36 35 8:1 / /mnt rw ext4 /dev/sda1\n36 35 8:1 / /ok rw - ext4 /dev/sda1 rw\n'
    )
    expect((await useOf('sda'))!.use).toBe('mounted at /ok')
  })
})
