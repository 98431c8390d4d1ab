import type { FileHandle } from 'node:fs/promises'
import { HASH_LENGTH, LEAF_BYTES, hashAt, leafCountOf } from '../generations/hash-tree.js'
import { damaged, type Backup, type BackupFolder } from './backup-folder.js'
import { readLeaf, type StoredLeaves } from './leaves.js'

/** One file of a chain of backups: where each leaf lies in it. */
interface Store {
  readonly path: string
  readonly handle: FileHandle
  /** Offset in leaves; -1 where the leaf is that of what lies below. */
  readonly places: Int32Array
}

/** A backup as a disk, read through the chain of those below it. Every leaf is held against its hash. */
export class BackupDisk implements StoredLeaves {
  private constructor(
    readonly backup: Backup,
    readonly leaves: Buffer,
    private readonly stores: readonly Store[]
  ) {}

  static async open(folder: BackupFolder, backup: Backup): Promise<BackupDisk> {
    const leaves = await folder.hashesOf(backup)
    const stores: Store[] = []
    try {
      let own = leaves
      for (let at: Backup | undefined = backup; at;) {
        const below = await folder.hashesBelow(at)
        stores.push(await storeOf(folder, at.file, at.over ? changedPlaces(own, below) : everyPlace(own)))
        if (at.over?.number === 0) stores.push(await storeOf(folder, at.over.raw, everyPlace(below)))
        at = at.over && at.over.number > 0 ? folder.find(at.over.number) : undefined
        own = below
      }
      return new BackupDisk(backup, leaves, stores)
    } catch (error) {
      await closeAll(stores)
      throw error
    }
  }

  get sizeBytes(): number {
    return this.backup.sizeBytes
  }

  get leafCount(): number {
    return leafCountOf(this.sizeBytes)
  }

  /** @throws TargetError ERR_ISCSI_BACKUP_DAMAGED with the file when the leaf is not what was backed up */
  async read(index: number, buffer: Buffer): Promise<Buffer> {
    const store = this.stores.find(({ places }) => (places[index] ?? -1) >= 0)
    if (!store) throw damaged(this.backup.file)
    const place = store.places[index]!
    const bytes = await readLeaf(store.handle, this, index, place, buffer)
    if (!bytes) throw damaged(`${store.path} (from byte ${place * LEAF_BYTES} on)`)
    return bytes
  }

  /** Reads all of it. */
  async verify(progress: (doneBytes: number, totalBytes: number) => void = () => undefined): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
    for (let index = 0; index < this.leafCount; index++) {
      await this.read(index, buffer)
      progress(Math.min(this.sizeBytes, (index + 1) * LEAF_BYTES), this.sizeBytes)
    }
  }

  close(): Promise<void> {
    return closeAll(this.stores)
  }
}

/** Which leaves a file of changes holds, one behind the other: those that differ. */
export function changedPlaces(own: Buffer, below: Buffer): Int32Array {
  const places = new Int32Array(own.length / HASH_LENGTH).fill(-1)
  let stored = 0
  for (let index = 0; index < places.length; index++) {
    if (!hashAt(own, index).equals(hashAt(below, index))) places[index] = stored++
  }
  return places
}

/** Which leaves a raw file holds: each at its own place. */
export function everyPlace(own: Buffer): Int32Array {
  return Int32Array.from({ length: own.length / HASH_LENGTH }, (_, index) => index)
}

async function storeOf(folder: BackupFolder, name: string, places: Int32Array): Promise<Store> {
  return { path: folder.pathOf(name), handle: await folder.openFile(name), places }
}

async function closeAll(stores: readonly Store[]): Promise<void> {
  for (const { handle } of stores) await handle.close()
}
