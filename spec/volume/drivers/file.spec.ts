import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { mkdir, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { FileVolume } from '../../../lib/volume/drivers/file.js'
import { nativeExtensions } from '../../../lib/volume/drivers/native.js'
import { flushVolume, readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { codeOf } from '../../../lib/util/errors.js'
import { failure, settle, thrown } from '../../contracts/volume.contract.js'
import { Random } from '../../support/random.js'

const MIB = 1 << 20
const content = new Random(3).bytes(Buffer.alloc(2 * MIB))

let directory: string
let path: string
let volumes: FileVolume[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudx-file-'))
  path = join(directory, 'disk.img')
  volumes = []
  await writeFile(path, content)
})
afterEach(async () => {
  jest.restoreAllMocks()
  for (const volume of volumes) await volume.close()
  await rm(directory, { recursive: true })
})

async function opened(readOnly = false, pooled?: boolean): Promise<FileVolume> {
  const medium = { waited: () => true }
  const volume = new FileVolume({ path, readOnly, medium, ...(pooled !== undefined && { pooled }) })
  volumes.push(volume)
  await volume.open()
  return volume
}

/** One whose first accesses in its first regions, which always go through the pool, are behind it. */
async function awake(readOnly = false): Promise<FileVolume> {
  const volume = await opened(readOnly, false)
  for (let offset = 0; offset < Math.min(volume.size, 4 * MIB); offset += MIB) {
    await settle((io) => volume.read(io.set(Buffer.alloc(512), 0, 512, offset)))
  }
  if (!readOnly) await settle((io) => volume.write(io.set(content, 0, 512, 0)))
  // The first synchronous attempt may be slow on a busy machine, and then some go through the pool again.
  return volume
}

/** Makes time stand still, or go on as the spec says, so that no access is slow by chance. */
function clock(): { now: number; advance: number } {
  const hands = { now: 1_000_000, advance: 0 }
  jest.spyOn(performance, 'now').mockImplementation(() => (hands.now += hands.advance))
  return hands
}

describe('opening an image file', () => {
  it.each([
    ['does not exist', 'ERR_ISCSI_IMAGE_MISSING', async () => Promise.resolve('nothing.img')],
    ['lies in something that is no directory', 'ERR_ISCSI_IMAGE_MISSING', async () => Promise.resolve('disk.img/x')],
    ['is a directory', 'ERR_ISCSI_IMAGE_IS_DIRECTORY', async () => (await mkdir(join(directory, 'd')), 'd')],
    ['is empty', 'ERR_ISCSI_IMAGE_EMPTY', () => sized(0)],
    ['has 511 bytes', 'ERR_ISCSI_IMAGE_SIZE', () => sized(511)],
    ['has 513 bytes', 'ERR_ISCSI_IMAGE_SIZE', () => sized(513)],
    ['has 1000 bytes', 'ERR_ISCSI_IMAGE_SIZE', () => sized(1000)]
  ])('says so, with its name, when it %s', async (_what, code, make) => {
    const name = join(directory, await make())
    for (const readOnly of [true, false]) {
      const error: unknown = await new FileVolume({ path: name, readOnly }).open().catch((error: unknown) => error)
      expect(codeOf(error)).toBe(code)
      expect((error as Error).message).toContain(name)
    }
  })

  async function sized(size: number): Promise<string> {
    await writeFile(join(directory, 'sized'), Buffer.alloc(size))
    return 'sized'
  }

  const linux = process.platform === 'linux' ? it : it.skip

  linux('does not wait for the other end of a pipe', async () => {
    const pipe = join(directory, 'pipe')
    spawnSync('mkfifo', [pipe])
    await expect(new FileVolume({ path: pipe, readOnly: true }).open()).rejects.toMatchObject({
      code: 'ERR_ISCSI_IMAGE_TYPE'
    })
  })

  linux('says so when this user may not write', async () => {
    // A file of sysfs that not even root may write.
    const volume = new FileVolume({ path: '/sys/kernel/notes', readOnly: false })
    await expect(volume.open()).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_PERMISSION' })
  })

  it('leaves no file open when it fails', async () => {
    await writeFile(path, Buffer.alloc(1000))
    const before = openFiles()
    for (let i = 0; i < 5; i++) await new FileVolume({ path, readOnly: true }).open().catch(() => undefined)
    expect(openFiles()).toBe(before)
  })

  function openFiles(): number {
    return process.platform === 'linux' ? fs.readdirSync('/proc/self/fd').length : 0
  }
})

describe('reading an image file', () => {
  it('is synchronous from the second access on, when the first was not slow', async () => {
    clock()
    const volume = await opened(true, false)
    const buffer = Buffer.alloc(4096)
    expect(volume.tryRead(buffer, 0, 4096, 8192)).toBe(false)
    await settle((io) => volume.read(io.set(buffer, 0, 4096, 8192)))
    expect(volume.tryRead(buffer, 0, 4096, 12288)).toBe(true)
    expect(buffer.equals(content.subarray(12288, 16384))).toBe(true)
  })

  it('goes through the pool 8 times after a slow one', async () => {
    const hands = clock()
    const volume = await awake(true)
    const buffer = Buffer.alloc(4096)
    hands.advance = 0.05
    expect(volume.tryRead(buffer, 0, 4096, 0)).toBe(true)
    hands.advance = 0
    for (let i = 0; i < 8; i++) {
      expect(volume.tryRead(buffer, 0, 4096, 0)).toBe(false)
      await settle((io) => volume.read(io.set(buffer, 0, 4096, 0)))
    }
    expect(volume.tryRead(buffer, 0, 4096, 0)).toBe(true)
  })

  it.each(['readSync', 'writeSync'] as const)(
    'is not held up again where a %s failed after a long time',
    async (verb) => {
      const time = clock()
      const volume = await awake()
      const buffer = Buffer.alloc(4096)
      const move = () =>
        verb === 'readSync' ? volume.tryRead(buffer, 0, 4096, 0) : volume.tryWrite(buffer, 0, 4096, 0)
      expect(move()).toBe(true)
      jest.spyOn(fs, verb).mockImplementation(() => {
        time.now += 7000
        throw Object.assign(new Error('i/o error'), { code: 'EIO' })
      })
      expect(codeOf(thrown(move))).toBe('EIO')
      expect(move()).toBe(false)
    }
  )

  it('is never synchronous when the file is always pooled, or for more than 1 MiB', async () => {
    clock()
    const buffer = Buffer.alloc(MIB + 512)
    const pooled = await opened(true, true)
    for (let i = 0; i < 3; i++) {
      await settle((io) => pooled.read(io.set(buffer, 0, 512, 0)))
      expect(pooled.tryRead(buffer, 0, 512, 0)).toBe(false)
    }
    const volume = await awake(true)
    expect(volume.tryRead(buffer, 0, MIB + 512, 0)).toBe(false)
    expect(volume.tryRead(buffer, 0, MIB, 0)).toBe(true)
  })

  it('fails with EIO where the file was cut under it, instead of giving what the buffer held', async () => {
    clock()
    const volume = await awake(true)
    await truncate(path, MIB)
    const buffer = Buffer.alloc(4096)
    expect(volume.tryRead(buffer, 0, 4096, MIB - 4096)).toBe(true)
    for (const offset of [MIB, MIB - 512, 2 * MIB - 4096]) {
      expect(codeOf(thrown(() => volume.tryRead(buffer, 0, 4096, offset)))).toBe('EIO')
      expect(codeOf(await failure((io) => volume.read(io.set(buffer, 0, 4096, offset))))).toBe('EIO')
    }
  })

  it('sees holes as zeroes and reaches beyond 4 GiB', async () => {
    await truncate(path, 2 ** 43)
    const volume = await opened()
    const buffer = Buffer.alloc(1000)
    for (const offset of [2 ** 31 - 500, 2 ** 32 - 500, 2 ** 42 + 12345, 2 ** 43 - 1000]) {
      await readVolume(volume, buffer.fill(1), offset)
      expect(buffer.equals(Buffer.alloc(1000))).toBe(true)
      await writeVolume(volume, content.subarray(0, 1000), offset)
      await readVolume(volume, buffer, offset)
      expect(buffer.equals(content.subarray(0, 1000))).toBe(true)
    }
    expect((await stat(path)).size).toBe(2 ** 43)
  })
})

describe('zeroing an image file', () => {
  it('is never synchronous when it makes a hole', async () => {
    clock()
    const volume = await awake()
    expect(volume.tryZero(0, 4096, true)).toBe(nativeExtensions() === undefined)
    expect(volume.tryZero(0, 4096, false)).toBe(true)
  })

  const native = nativeExtensions() && process.platform === 'linux' ? it : it.skip

  native('gives whole pages back, keeps the size and is exact at its ends', async () => {
    const volume = await opened()
    await zeroVolume(volume, 5000, MIB, true)
    await flushVolume(volume)
    const after = await stat(path)
    // The pages from 8192 to 1048576 are gone, the parts at the ends are written.
    expect(after.blocks * 512).toBeLessThanOrEqual(2 * MIB - (MIB - 8192) + 8192)
    expect(after.size).toBe(2 * MIB)
    expect((await readFile(path)).equals(Buffer.from(content).fill(0, 5000, 5000 + MIB))).toBe(true)
  })

  native.each(['EOPNOTSUPP', 'EINVAL', 'EIO'])('writes zeroes when a hole fails with %s', async (code) => {
    const trim = jest.spyOn(nativeExtensions()!, 'trim').mockRejectedValue(Object.assign(new Error(code), { code }))
    const volume = await opened()
    await zeroVolume(volume, 4096, 3 * 4096, true)
    await zeroVolume(volume, 100_000, 100_000, true)
    expect(trim).toHaveBeenCalledTimes(1)
    expect((await readFile(path)).equals(Buffer.from(content).fill(0, 4096, 16384).fill(0, 100_000, 200_000))).toBe(
      true
    )
  })

  it('does more than one call can', async () => {
    await truncate(path, 8 * MIB)
    const handle = await open(path, 'r+')
    await handle.write(Buffer.alloc(8 * MIB, 7), 0, 8 * MIB, 0)
    await handle.close()
    const volume = await opened()
    await zeroVolume(volume, 1000, 7 * MIB, false)
    const found = await readFile(path)
    expect(found.equals(Buffer.alloc(8 * MIB, 7).fill(0, 1000, 1000 + 7 * MIB))).toBe(true)
  })

  it('passes an error of the medium on', async () => {
    const volume = await opened()
    jest.spyOn(fs, 'write').mockImplementation((...args: unknown[]) => {
      const done = args[5] as (error: Error, bytes: number) => void
      setImmediate(() => done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0))
    })
    const error = await failure((io) => volume.zero(io.set(Buffer.alloc(0), 0, 100, 0)))
    expect(codeOf(error)).toBe('ENOSPC')
  })
})

/** Keeps every fdatasync until the spec answers it. */
function heldFlushes(): ((error?: Error) => void)[] {
  const held: ((error?: Error) => void)[] = []
  jest.spyOn(fs, 'fdatasync').mockImplementation((_fd: number, done: (error: Error | null) => void) => {
    held.push((error) => done(error ?? null))
  })
  return held
}

const lost = Object.assign(new Error('lost'), { code: 'EIO' })

describe('flushing an image file', () => {
  it('runs one at a time, and those that come meanwhile share the next', async () => {
    const volume = await opened()
    const held = heldFlushes()
    const ended: number[] = []
    const all = [0, 1, 2, 3].map((i) => flushVolume(volume).then(() => ended.push(i)))
    expect(held).toHaveLength(1)
    held[0]!()
    await all[0]
    expect(ended).toEqual([0])
    expect(held).toHaveLength(2)
    held[1]!()
    await Promise.all(all)
    expect(ended).toEqual([0, 1, 2, 3])
    expect(held).toHaveLength(2)
  })

  it('fails with EIO for ever once it failed, until the file is opened again', async () => {
    const volume = await opened()
    const held = heldFlushes()
    const first = failure((io) => volume.flush(io))
    const waiting = failure((io) => volume.flush(io))
    held[0]!(lost)
    expect(codeOf(await first)).toBe('EIO')
    expect(codeOf(await waiting)).toBe('EIO')
    expect(codeOf(await failure((io) => volume.flush(io)))).toBe('EIO')
    expect(held).toHaveLength(1)
    const again = await opened()
    const flushed = flushVolume(again)
    held[1]!()
    await flushed
  })

  it('asks nothing of the medium when the file is only read', async () => {
    const volume = await opened(true)
    const held = heldFlushes()
    await flushVolume(volume)
    expect(held).toHaveLength(0)
  })
})

describe('closing an image file', () => {
  it('waits for a flush that is under way', async () => {
    const volume = await opened()
    const held = heldFlushes()
    const events: string[] = []
    const flushed = flushVolume(volume).then(() => events.push('flushed'))
    const closed = volume.close().then(() => events.push('closed'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual([])
    held[0]!()
    await Promise.all([flushed, closed])
    expect(events).toEqual(['flushed', 'closed'])
  })

  it('lets no verb reach the descriptor, whoever has it by then', async () => {
    const volume = await opened()
    const closed = volume.close()
    const buffer = Buffer.alloc(512)
    for (const verb of ['read', 'write', 'zero', 'flush'] as const) {
      const error = await failure((io: BlockIo) => volume[verb](io.set(buffer, 0, 512, 0)))
      expect(codeOf(error)).toBe('EBADF')
    }
    await closed
    expect(codeOf(thrown(() => volume.tryRead(buffer, 0, 512, 0)))).toBe('EBADF')
    expect(codeOf(thrown(() => volume.tryWrite(buffer, 0, 512, 0)))).toBe('EBADF')
    expect(codeOf(thrown(() => volume.tryZero(0, 512, false)))).toBe('EBADF')
  })
})
