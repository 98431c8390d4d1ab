import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isRemovable, major, mayStall, minor, readWord } from '../../../lib/volume/drivers/medium.js'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-medium-'))
  await mkdir(join(root, 'dev/block'), { recursive: true })
  await device('8:0', 'devices/pci0000:00/ata1/block/sda', '0')
  await device('8:1', 'devices/pci0000:00/ata1/block/sda/sda1')
  await device('8:16', 'devices/pci0000:00/usb1/1-2/block/sdb', '0')
  await device('8:17', 'devices/pci0000:00/usb1/1-2/block/sdb/sdb1')
  await device('179:0', 'devices/platform/mmc/block/mmcblk0', '1')
  await device('179:1', 'devices/platform/mmc/block/mmcblk0/mmcblk0p1')
})
afterAll(async () => rm(root, { recursive: true }))

async function device(number: string, place: string, removable?: string): Promise<void> {
  await mkdir(join(root, place), { recursive: true })
  if (removable !== undefined) await writeFile(join(root, place, 'removable'), `${removable}\n`)
  await symlink(join(root, place), join(root, 'dev/block', number))
}

describe('the numbers of a device', () => {
  it.each([
    // makedev(3) of glibc: low 8 bits of the minor number, 12 of the major one, then the rest of the minor number.
    [0x0801, 8, 1],
    [0x10300, 259, 0],
    [0xfd03, 253, 3],
    [0x00100800, 8, 256],
    [0xfff00fff, 15, 1048575]
  ])('%d is %d:%d', (number, high, low) => {
    expect([major(number), minor(number)]).toEqual([high, low])
  })
})

describe('a disk that can be pulled out', () => {
  it.each([
    ['a disk inside', 8 * 256, false],
    ['its partition', 8 * 256 + 1, false],
    ['a USB disk that says it is not removable', 8 * 256 + 16, true],
    ['its partition', 8 * 256 + 17, true],
    ['a card', 179 * 256, true],
    ['its partition', 179 * 256 + 1, true],
    ['a device that is not listed', 99 * 256, false]
  ])('%s', async (_what, number, removable) => {
    expect(await isRemovable(number, root)).toBe(removable)
  })
})

describe('a file that may stall', () => {
  const linux = process.platform === 'linux' ? it : it.skip

  linux('is one on a removable disk', async () => {
    expect(await mayStall(root, 179 * 256 + 1, root)).toBe(true)
    expect(await mayStall(root, 8 * 256 + 1, root)).toBe(false)
  })

  linux('is not one in /proc, nor one that is not there', async () => {
    expect(await mayStall('/proc/version', 0, root)).toBe(false)
    expect(await mayStall(join(root, 'nothing'), 0, root)).toBe(false)
  })
})

describe('readWord', () => {
  it('gives the text without its end of line, or nothing', async () => {
    expect(await readWord(join(root, 'dev/block/179:0/removable'))).toBe('1')
    expect(await readWord(join(root, 'nothing'))).toBeUndefined()
  })
})
