import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackupFolder } from '../../lib/target/backup/backup-folder.js'
import { makeBackup, type BackupMade } from '../../lib/target/backup/make-backup.js'
import type { CopyPart } from '../../lib/target/control.js'

export const MIB = 1 << 20
/** Memory, where there is such a place: each backup is synced some times. */
const QUICK_DIRECTORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
export const CHECKPOINT_LEAVES = 3
const PART_BYTES = 256 * 1024

/** A disk in memory with generations, and a folder that it is backed up to. */
export class BackedDisk {
  readonly directory = mkdtempSync(join(QUICK_DIRECTORY, 'cloudx-backup-'))
  readonly path = join(this.directory, 'backups')
  generation = 0
  content: Buffer
  /** What was asked of the disk: offset, and the generation since which. */
  readonly asked: [fromBytes: number, since: number | undefined][] = []
  /** The copy breaks off behind so many parts. */
  breakAfter = Infinity
  /** MiB that were written since each generation. */
  private readonly touched = new Map<number, Set<number>>()

  constructor(
    sizeBytes: number,
    readonly uuid = '00000000-0000-4000-8000-000000000000'
  ) {
    this.content = Buffer.alloc(sizeBytes)
  }

  /** By an author. */
  write(bytes: Buffer, offset: number): void {
    for (const set of this.touched.values()) {
      const last = Math.floor((offset + bytes.length - 1) / MIB)
      for (let mib = Math.floor(offset / MIB); mib <= last; mib++) set.add(mib)
    }
    bytes.copy(this.content, offset)
  }

  /** What is written from now on is another generation. */
  publish(): void {
    this.touched.set(this.generation++, new Set())
  }

  /** @param known - whether changes since the backup before are known */
  async backUp(known = true): Promise<BackupMade> {
    const folder = await this.open()
    try {
      return await makeBackup(
        folder,
        {
          imageUuid: this.uuid,
          imagePath: '/disks/share.img',
          generation: { number: this.generation, time: 1_700_000_000_000 + this.generation, note: '' },
          sizeBytes: this.content.length,
          root: undefined,
          knowsSince: ({ number }) => known && this.touched.has(number),
          copy: (fromBytes, since) => this.copy(fromBytes, since),
          now: 1_700_000_000_000
        },
        () => undefined,
        CHECKPOINT_LEAVES
      )
    } finally {
      await folder.close()
    }
  }

  /** What is in the folder but the file that is locked, which stays. */
  get names(): string[] {
    const names = readdirSync(this.path).sort()
    return names.filter((name) => name !== 'backup.lock')
  }

  open(writable = true): Promise<BackupFolder> {
    return BackupFolder.open(this.path, writable)
  }

  private async *copy(fromBytes: number, since: number | undefined): AsyncGenerator<CopyPart> {
    this.asked.push([fromBytes, since])
    await Promise.resolve()
    yield { kind: 'size', lengthBytes: this.content.length }
    let left = this.breakAfter
    const touched = since === undefined ? undefined : this.touched.get(since)!
    for (let offset = fromBytes; offset < this.content.length; offset += PART_BYTES) {
      const bytes = Buffer.from(this.content.subarray(offset, offset + PART_BYTES))
      const isZero = bytes.equals(Buffer.alloc(bytes.length))
      if (touched ? !touched.has(Math.floor(offset / MIB)) : isZero) continue
      if (left-- <= 0) throw new Error('the copy broke off')
      yield { kind: 'data', offset, bytes }
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
