import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockDeviceVolume, probeSize } from '../../../lib/volume/drivers/block-device.js'

let directory: string
let path: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudx-device-'))
  path = join(directory, 'file')
  await writeFile(path, '')
})
afterAll(async () => rm(directory, { recursive: true }))

describe('a block device', () => {
  it('is not a file, a directory or something that is not there', async () => {
    await truncate(path, 4096)
    for (const [name, code] of [
      [path, 'ERR_ISCSI_IMAGE_TYPE'],
      [directory, 'ERR_ISCSI_IMAGE_TYPE'],
      ['/dev/null', 'ERR_ISCSI_IMAGE_TYPE'],
      [join(directory, 'nothing'), 'ERR_ISCSI_IMAGE_MISSING']
    ] as const) {
      await expect(new BlockDeviceVolume({ path: name, readOnly: true }).open()).rejects.toMatchObject({ code })
    }
  })
})

describe('the search for the end of a device', () => {
  it.each([0, 4096, 8192, 12288, 20480, 2 ** 20, 2 ** 20 + 4096, 2 ** 32 - 4096, 2 ** 32, 2 ** 40 + 20480])(
    'finds %d bytes',
    async (size) => {
      await truncate(path, size)
      const handle = await open(path)
      expect(await probeSize(handle)).toBe(size)
      await handle.close()
    }
  )

  it('leaves out what is less than 4096 bytes at the end', async () => {
    await truncate(path, 10_000)
    const handle = await open(path)
    expect(await probeSize(handle)).toBe(8192)
    await handle.close()
  })

  it('takes a failing read for the end', async () => {
    const size = 5 * 4096
    let reads = 0
    const failing = {
      read: (_buffer: Buffer, _start: number, length: number, offset: number) => {
        reads++
        if (offset + length > size) return Promise.reject(new Error('sector not found'))
        return Promise.resolve({ bytesRead: length })
      }
    }
    expect(await probeSize(failing as never)).toBe(size)
    expect(reads).toBeLessThan(20)
  })
})
