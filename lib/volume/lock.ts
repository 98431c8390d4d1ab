import { constants } from 'node:fs'
import { open, readFile, readdir, unlink, type FileHandle } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { IscsiError, codeOf, messageOf } from '../util/errors.js'
import { nativeExtensions } from './drivers/native.js'

/**
 * Two servers must not serve one image to writers, nor use one state directory. So a server takes an exclusive lock on
 * a file of its state directory, and on the image a lock of one byte far beyond its end: shared when it only reads,
 * exclusive when it writes. Nothing else looks at that byte, so `qemu-img` and the like, which lock bytes 100 to 203,
 * can still open the image.
 *
 * With fs-native-extensions these are locks of the operating system (of the open file, on Linux), which end with the
 * process whatever happens to it. Without it, or where the file system has no locks, they are small files beside the
 * locked one that name the process; those of processes that are gone do not count and are removed.
 */
export interface Lock {
  /** `system`: of the operating system. `file`: a file beside it. `none`: neither was possible, see {@link LockOptions}. */
  readonly kind: 'system' | 'file' | 'none'
  readonly exclusive: boolean
  /** Harmless when called twice. */
  release(): Promise<void>
}

export interface LockOptions {
  readonly exclusive: boolean
  /** Make the file if it is missing (mode 0600) and write into it who holds the lock; for lock files proper. */
  readonly create?: boolean
  /**
   * A shared lock on an image in a directory where this user may not write: without locks of the operating system
   * there is no way to tell others. True takes that as `none`; otherwise it is an error. Default true for shared locks.
   */
  readonly allowNone?: boolean
  /** Do without the optional module; for specs. */
  readonly plain?: boolean
}

/** 2^62: beyond the end of any file, and the last byte is below 2^63, as fcntl wants. */
const LOCK_OFFSET = 2 ** 62
/** Answers of a file system that has no locks. */
const NO_LOCKS: ReadonlySet<string> = new Set(['ENOLCK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL'])
/** Longest text of a holder that is read, in bytes. */
const HOLDER_BYTES_MAX = 1024

/**
 * Takes a lock on a file, or fails at once.
 * @throws IscsiError `ERR_ISCSI_LOCKED`, whose message names the holder if it is known, or what open(2) gives
 */
export async function acquireLock(path: string, options: LockOptions): Promise<Lock> {
  const full = resolve(path)
  const lock = options.plain ? undefined : await systemLock(full, options)
  return lock ?? fileLock(full, options)
}

// Locks of the operating system.

/** Undefined where there are none. */
async function systemLock(path: string, options: LockOptions): Promise<Lock | undefined> {
  const native = nativeExtensions()
  if (!native) return undefined
  const handle = await openForLock(path, options)
  try {
    if (!native.tryLock(handle.fd, LOCK_OFFSET, 1, { shared: !options.exclusive })) {
      throw lockedError(path, options.create ? await readHolder(path) : undefined)
    }
    if (options.create) await writeHolder(handle)
  } catch (error) {
    await handle.close()
    if (NO_LOCKS.has(codeOf(error))) return undefined
    throw error
  }
  // Closing the file gives the lock back.
  return heldLock('system', options.exclusive, () => handle.close())
}

async function openForLock(path: string, options: LockOptions): Promise<FileHandle> {
  // An exclusive lock needs a file that is open for writing.
  const access = options.exclusive ? constants.O_RDWR : constants.O_RDONLY
  try {
    return await open(path, options.create ? constants.O_RDWR | constants.O_CREAT : access, 0o600)
  } catch (error) {
    throw new IscsiError(codeOf(error), `${path} cannot be opened to lock it: ${messageOf(error)}`, { cause: error })
  }
}

// Lock files: `.NAME.lock-x-PID-N` for an exclusive holder, `.NAME.lock-s-PID-N` for a shared one. Each holder makes its
// own file first and then looks for others, so of two that come together at least one sees the other: both may be
// refused, but never do both succeed.

let lockCount = 0

async function fileLock(path: string, options: LockOptions): Promise<Lock> {
  const directory = dirname(path)
  const prefix = `.${basename(path)}.lock-`
  const own = `${prefix}${options.exclusive ? 'x' : 's'}-${process.pid}-${lockCount++}`
  if (options.create) await (await openForLock(path, options)).close()
  try {
    await makeHolderFile(join(directory, own))
  } catch (error) {
    if (!options.exclusive && options.allowNone !== false) return heldLock('none', false, () => Promise.resolve())
    throw new IscsiError(codeOf(error), `${path} cannot be locked: ${messageOf(error)}`, { cause: error })
  }
  const release = () => unlink(join(directory, own)).catch(() => undefined)
  const rival = await findRival(directory, prefix, own, options.exclusive)
  if (rival === undefined) return heldLock('file', options.exclusive, release)
  await release()
  throw lockedError(path, rival)
}

async function makeHolderFile(path: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await writeHolder(handle)
  } finally {
    await handle.close()
  }
}

/** A living holder whose lock does not go together with ours. */
async function findRival(
  directory: string,
  prefix: string,
  own: string,
  exclusive: boolean
): Promise<Holder | undefined> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix) || name === own) continue
    if (!exclusive && !name.startsWith(`${prefix}x`)) continue
    const holder = await readHolder(join(directory, name))
    // One that is just being written has no text yet; its process number stands in its name.
    const rival = holder ?? { pid: Number(name.split('-').at(-2)), host: hostname() }
    if (await isAlive(rival)) return rival
    await unlink(join(directory, name)).catch(() => undefined)
  }
  return undefined
}

// Who holds it.

interface Holder {
  readonly pid: number
  readonly host: string
  /** Tells this process from a later one with the same number; only Linux says it. */
  readonly startTime?: string | undefined
}

async function writeHolder(handle: FileHandle): Promise<void> {
  const holder: Holder = { pid: process.pid, host: hostname(), startTime: await startTimeOf(process.pid) }
  await handle.truncate(0)
  await handle.write(`${JSON.stringify(holder)}\n`, 0)
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    const found = JSON.parse(text.slice(0, HOLDER_BYTES_MAX)) as Partial<Holder> | null
    if (typeof found?.pid !== 'number' || typeof found.host !== 'string') return undefined
    return { pid: found.pid, host: found.host, startTime: found.startTime }
  } catch {
    return undefined
  }
}

/** A process of another computer counts as alive: nobody here can tell. */
async function isAlive(holder: Holder): Promise<boolean> {
  if (holder.host !== hostname()) return true
  if (!exists(holder.pid)) return false
  return holder.startTime === undefined || holder.startTime === (await startTimeOf(holder.pid))
}

function exists(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** Boot and ticks since then at which a process started; undefined where /proc does not say. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // proc(5): field 22, counted behind the name in parentheses, which may itself contain blanks.
    return `${boot.trim()} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return undefined
  }
}

function heldLock(kind: Lock['kind'], exclusive: boolean, giveBack: () => Promise<void>): Lock {
  let released: Promise<void> | undefined
  return { kind, exclusive, release: () => (released ??= giveBack()) }
}

function lockedError(path: string, holder: Holder | undefined): IscsiError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another program'
  return new IscsiError('ERR_ISCSI_LOCKED', `${path} is locked by ${who}: stop that one first`)
}
