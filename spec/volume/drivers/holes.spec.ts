import { describe, expect, it } from '@jest/globals'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { keepsHoles } from '../../../lib/volume/drivers/holes.js'
import { DISK_DIRECTORY } from '../../support/disk-directory.js'

describe('whether a file keeps its holes', () => {
  it('is what the file system does with one', async () => {
    const folder = await mkdtemp(join(DISK_DIRECTORY, 'cloudx-holes-'))
    const path = join(folder, 'file')
    const handle = await open(path, 'wx+')
    try {
      await handle.write(Buffer.alloc(4096, 1), 0, 4096, 64 << 20)
      await handle.datasync()
      const { blocks } = await handle.stat()
      expect(await keepsHoles(handle, path)).toBe(blocks * 512 < 32 << 20)
    } finally {
      await handle.close()
      await rm(folder, { recursive: true })
    }
  })

  it.each([
    ['a path that is gone', '/nowhere/at/all', process.platform],
    ['a file system that nobody knows', '/proc', 'linux'],
    ['a system that nobody knows', '/', 'aix']
  ] as const)('is no for %s', async (_title, path, platform) => {
    const handle = await open(process.execPath, 'r')
    expect(await keepsHoles(handle, path, platform)).toBe(false)
    await handle.close()
  })
})
