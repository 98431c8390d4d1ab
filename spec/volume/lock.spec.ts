import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { spawnSync } from 'node:child_process'
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { acquireLock, type Lock } from '../../lib/volume/lock.js'
import { nativeExtensions } from '../../lib/volume/drivers/native.js'

let directory: string
let image: string
let held: Lock[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudx-lock-'))
  image = join(directory, 'disk.img')
  held = []
  await writeFile(image, Buffer.alloc(4096, 1))
})
afterEach(async () => {
  for (const lock of held) await lock.release()
  await rm(directory, { recursive: true })
})

// The plain version runs everywhere, the system's where the optional module is installed.
const WAYS = [
  { way: 'files beside it', plain: true, kind: 'file' },
  ...(nativeExtensions() ? [{ way: 'the operating system', plain: false, kind: 'system' }] : [])
]

/** A process number that nobody has: that of a process which ended. */
const DEAD_PID = spawnSync(process.execPath, ['-e', '']).pid

describe.each(WAYS)('a lock by $way', ({ plain, kind }) => {
  async function take(exclusive: boolean, path = image): Promise<Lock> {
    const lock = await acquireLock(path, { exclusive, plain })
    held.push(lock)
    return lock
  }

  it.each([
    [false, false, true],
    [false, true, false],
    [true, false, false],
    [true, true, false]
  ])('held with exclusive=%s lets one with exclusive=%s in: %s', async (first, second, allowed) => {
    expect((await take(first)).kind).toBe(kind)
    if (allowed) expect((await take(second)).kind).toBe(kind)
    else await expect(take(second)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
  })

  it('is free again when it was released, once or twice', async () => {
    const lock = await take(true)
    await lock.release()
    await lock.release()
    await take(true)
  })

  it('waits for all of several shared holders', async () => {
    const [first, second] = [await take(false), await take(false)]
    await first.release()
    await expect(take(true)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await second.release()
    await take(true)
  })

  it('leaves the image as it was, to the byte and in its length', async () => {
    await (await take(true)).release()
    expect((await readFile(image)).equals(Buffer.alloc(4096, 1))).toBe(true)
    expect(await readdir(directory)).toEqual(['disk.img'])
  })

  it('makes the lock file of a state directory, for the owner only, and names who holds it', async () => {
    const path = join(directory, 'lock')
    held.push(await acquireLock(path, { exclusive: true, create: true, plain }))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const second = acquireLock(path, { exclusive: true, create: true, plain })
    await expect(second).rejects.toThrow(`${path} is locked by process ${process.pid} on ${hostname()}`)
  })

  it('passes on that the file is missing', async () => {
    await expect(acquireLock(join(directory, 'a/b'), { exclusive: true, create: true, plain })).rejects.toMatchObject({
      code: 'ENOENT'
    })
  })

  it('refuses one of two that come together, or both, but never none', async () => {
    const results = await Promise.allSettled([take(true), take(true)])
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBeLessThan(2)
  })
})

describe('a lock by files beside it', () => {
  function rival(name: string, holder: object | string): Promise<void> {
    return writeFile(join(directory, name), typeof holder === 'string' ? holder : JSON.stringify(holder))
  }

  it('does not count a process that is gone, and removes its file', async () => {
    await rival('.disk.img.lock-x-1-0', { pid: DEAD_PID, host: hostname() })
    held.push(await acquireLock(image, { exclusive: true, plain: true }))
    expect(await readdir(directory)).not.toContain('.disk.img.lock-x-1-0')
  })

  it('does not take a later process with the same number for the holder', async () => {
    await rival('.disk.img.lock-x-1-0', { pid: process.pid, host: hostname(), startTime: 'another boot 1' })
    held.push(await acquireLock(image, { exclusive: true, plain: true }))
  })

  it('counts a process of another computer, of which nothing can be known', async () => {
    await rival('.disk.img.lock-x-1-0', { pid: DEAD_PID, host: 'elsewhere' })
    await expect(acquireLock(image, { exclusive: false, plain: true })).rejects.toThrow('on elsewhere')
  })

  it.each(['', '{', 'null', '{"pid":"x"}'])('goes by the name of a file that says %j', async (text) => {
    const name = `.disk.img.lock-x-${process.pid}-999`
    await rival(name, text)
    await expect(acquireLock(image, { exclusive: true, plain: true })).rejects.toThrow(`process ${process.pid}`)
    await rm(join(directory, name))
    await rival(`.disk.img.lock-x-${DEAD_PID}-0`, text)
    held.push(await acquireLock(image, { exclusive: true, plain: true }))
  })

  it('is not disturbed by the locks of other files', async () => {
    await rival('.disk.img2.lock-x-1-0', { pid: process.pid, host: hostname() })
    held.push(await acquireLock(image, { exclusive: true, plain: true }))
  })

  it('is done without for readers where nothing can be written, and an error for writers', async () => {
    // A directory that is not there stands for one that may not be written, which root always may.
    const path = join(directory, 'gone/disk.img')
    const lock = await acquireLock(path, { exclusive: false, plain: true })
    expect(lock.kind).toBe('none')
    await lock.release()
    await expect(acquireLock(path, { exclusive: true, plain: true })).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(acquireLock(path, { exclusive: false, allowNone: false, plain: true })).rejects.toMatchObject({
      code: 'ENOENT'
    })
  })
})

describe('a lock of the operating system', () => {
  const system = nativeExtensions() ? it : it.skip

  system('can be shared on an image that may only be read', async () => {
    await chmod(image, 0o400)
    held.push(await acquireLock(image, { exclusive: false }))
  })

  system('is seen by another process and ends with the one that holds it', async () => {
    held.push(await acquireLock(image, { exclusive: true }))
    // Python speaks to the kernel itself: struct flock with F_WRLCK on one byte at 2^62.
    const script = [
      'import fcntl, os, struct, sys',
      'fd = os.open(sys.argv[1], os.O_RDWR)',
      "flock = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 2 ** 62, 1, 0)",
      'fcntl.fcntl(fd, 37, flock)'
    ].join('\n')
    const run = () => spawnSync('python3', ['-c', script, image]).status
    if (spawnSync('python3', ['-V']).status !== 0 || process.platform !== 'linux') return
    expect(run()).not.toBe(0)
    await held.pop()!.release()
    expect(run()).toBe(0)
  })
})
