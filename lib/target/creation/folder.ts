import { access, constants, lstat, readdir, stat } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { join } from 'node:path'
import { nameKey, nameProblem, normalizeName } from '../../filesystem/file-name.js'
import type { DirectoryNode, FileNode, Times, TreeNode } from '../../filesystem/tree.js'
import { codeOf, messageOf } from '../../util/errors.js'
import { ConfigError } from '../config/entries.js'

/** A folder of this PC as it was when it was looked through. */
export interface FolderContent {
  readonly children: readonly TreeNode<SourceFile>[]
  readonly fileCount: number
  readonly directoryCount: number
  /** Bytes of all files, and what they take on this PC's disk: less where they have holes. */
  readonly contentBytes: number
  readonly allocatedBytes: number
  /** What has no place on the drive, in sentences, and how many more there are beyond {@link PROBLEMS_MAX}. */
  readonly leftOut: readonly string[]
}

/** Where a file's bytes come from. */
export interface SourceFile {
  readonly path: string
  readonly lengthBytes: number
  readonly modifiedMs: number
  /** It has holes. */
  readonly sparse: boolean
}

export interface FolderOptions {
  /** Files that are not meant, by their paths. */
  readonly except?: readonly string[]
  readonly signal?: AbortSignal
}

/** More than anybody shares, and what the memory of a small PC holds. */
export const NODES_MAX = 2_000_000
/** Sentences on what is wrong; beyond them only their number is told. */
export const PROBLEMS_MAX = 20
/** What Windows keeps for itself at the top of each drive, and nobody may read. */
const SYSTEM_FOLDERS: ReadonlySet<string> = new Set(['SYSTEM VOLUME INFORMATION', '$RECYCLE.BIN'])
/** Of `stat`, and of what a file system hands out. */
const SECTOR_BYTES = 512
const PAGE_BYTES = 4096

/**
 * Looks through a folder. Nothing is copied yet: whatever cannot be taken over is told now, all of it at once.
 * Symbolic links are not followed, since a drive has none and what they lead to may lie anywhere; they, pipes, sockets
 * and devices are left out and named.
 * @throws ConfigError with a sentence for each name that cannot be, each collision and each file that cannot be read
 */
export async function readFolder(path: string, options: FolderOptions = {}): Promise<FolderContent> {
  const reader = new FolderReader(path, options)
  return reader.read()
}

/** A directory whose children are still to be read. */
interface OpenDirectory {
  readonly path: string
  readonly children: TreeNode<SourceFile>[]
}

class FolderReader {
  private readonly problems: string[] = []
  private readonly leftOut: string[] = []
  private readonly pending: OpenDirectory[] = []
  private fileCount = 0
  private directoryCount = 0
  private contentBytes = 0
  private allocatedBytes = 0

  constructor(
    private readonly root: string,
    private readonly options: FolderOptions
  ) {}

  async read(): Promise<FolderContent> {
    await this.expectFolder()
    const top: OpenDirectory = { path: this.root, children: [] }
    this.pending.push(top)
    for (let next = this.pending.pop(); next; next = this.pending.pop()) await this.readDirectory(next)
    if (this.problems.length > 0) throw new ConfigError(shortened(this.problems))
    const { fileCount, directoryCount, contentBytes, allocatedBytes } = this
    const leftOut = shortened(this.leftOut)
    return { children: top.children, fileCount, directoryCount, contentBytes, allocatedBytes, leftOut }
  }

  /** The folder itself may be reached by a link. */
  private async expectFolder(): Promise<void> {
    const found = await stat(this.root).catch((error: unknown) => {
      throw new ConfigError([
        codeOf(error) === 'ENOENT'
          ? `--from: ${this.root} does not exist`
          : `--from: ${this.root} cannot be read: ${messageOf(error)}`
      ])
    })
    if (!found.isDirectory()) throw new ConfigError([`--from: ${this.root} is no folder`])
  }

  private async readDirectory(directory: OpenDirectory): Promise<void> {
    const names = await readdir(directory.path).catch((error: unknown) => {
      this.problems.push(`${directory.path} cannot be read: ${reasonOf(error)}`)
      return []
    })
    const taken = new Map<string, string>()
    for (const found of names.sort(byCodeUnits)) {
      this.options.signal?.throwIfAborted()
      const path = join(directory.path, found)
      if (this.isExcepted(directory, found, path)) continue
      await this.readEntry(directory, found, path, taken)
    }
  }

  private isExcepted(directory: OpenDirectory, found: string, path: string): boolean {
    if (this.options.except?.includes(path)) return true
    if (directory.path !== this.root || !SYSTEM_FOLDERS.has(found.toUpperCase())) return false
    this.leftOut.push(`${path} belongs to the system`)
    return true
  }

  private async readEntry(
    directory: OpenDirectory,
    found: string,
    path: string,
    taken: Map<string, string>
  ): Promise<void> {
    const stats = await lstat(path).catch((error: unknown) => {
      this.problems.push(unreadable(path, found, error))
      return undefined
    })
    if (!stats) return
    if (!stats.isFile() && !stats.isDirectory()) {
      this.leftOut.push(`${path} is ${kindOf(stats)}`)
      return
    }
    const name = this.checkedName(found, path, taken)
    if (name === undefined) return
    if (this.fileCount + this.directoryCount >= NODES_MAX) {
      throw new ConfigError([`--from: ${this.root} holds more than ${NODES_MAX} files and folders`])
    }
    directory.children.push(
      stats.isDirectory() ? this.directory(name, path, stats) : await this.file(name, path, stats)
    )
  }

  /** The name on the drive; undefined after a sentence on why it cannot be. */
  private checkedName(found: string, path: string, taken: Map<string, string>): string | undefined {
    const name = normalizeName(found)
    const problem = nameProblem(name)
    const twin = taken.get(nameKey(name))
    if (problem !== undefined) this.problems.push(`${path}: this name ${problem}; rename it first`)
    else if (twin !== undefined) {
      this.problems.push(`${path} and ${twin} would have the same name on the drive; rename one of them first`)
    } else {
      taken.set(nameKey(name), path)
      return name
    }
    return undefined
  }

  private directory(name: string, path: string, stats: Stats): DirectoryNode<SourceFile> {
    const children: TreeNode<SourceFile>[] = []
    this.pending.push({ path, children })
    this.directoryCount++
    return { name, times: timesOf(stats), children }
  }

  private async file(name: string, path: string, stats: Stats): Promise<FileNode<SourceFile>> {
    await access(path, constants.R_OK).catch((error: unknown) => {
      this.problems.push(`${path} cannot be read: ${reasonOf(error)}`)
    })
    const { size, mtimeMs, blocks } = stats
    this.fileCount++
    this.contentBytes += size
    this.allocatedBytes += Math.ceil(Math.min(size, blocks * SECTOR_BYTES) / PAGE_BYTES) * PAGE_BYTES
    return {
      name,
      lengthBytes: size,
      times: timesOf(stats),
      source: { path, lengthBytes: size, modifiedMs: mtimeMs, sparse: blocks * SECTOR_BYTES < size }
    }
  }
}

/** At most {@link PROBLEMS_MAX} of them and how many more there are. */
export function shortened(sentences: readonly string[]): string[] {
  const more = sentences.length - PROBLEMS_MAX
  return more > 0 ? [...sentences.slice(0, PROBLEMS_MAX), `… and ${more} more`] : [...sentences]
}

/** An order that hangs on no language, so that a folder gives the same drive everywhere. */
function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Some file systems do not know when a file was made. */
function timesOf({ birthtimeMs, mtimeMs, atimeMs }: Stats): Times {
  return { createdMs: birthtimeMs > 0 ? birthtimeMs : mtimeMs, modifiedMs: mtimeMs, accessedMs: atimeMs }
}

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link'
  if (stats.isFIFO()) return 'a pipe'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

/** Bytes that are no UTF-8 come as U+FFFD, and by that name there is no file. */
function unreadable(path: string, found: string, error: unknown): string {
  if (codeOf(error) === 'ENOENT' && found.includes('\ufffd'))
    return `${path}: this name is no valid UTF-8; rename it first`
  return `${path} cannot be read: ${reasonOf(error)}`
}

function reasonOf(error: unknown): string {
  return REASONS[codeOf(error)] ?? messageOf(error)
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  ENOENT: 'it is gone',
  EIO: 'its disk has a fault'
}
