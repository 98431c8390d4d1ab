import { open, type FileHandle } from 'node:fs/promises'
import { HASH_LENGTH, LEAF_BYTES } from '../generations/hash-tree.js'
import { damaged, type Backup, type BackupFolder } from './backup-folder.js'
import { hashAt, hashOfLeaf, leafCountOf, leafLength } from './leaves.js'

/** One file of a chain of backups: where each leaf lies in it. */
interface Store {
  readonly path: string
  readonly handle: FileHandle
  /** Offset in leaves; -1 where the leaf is that of what lies below. */
  readonly places: Int32Array
}

/** A backup as a disk, read through the chain of those below it. Every leaf is held against its hash. */
export class BackupDisk {
  private constructor(
    readonly backup: Backup,
    readonly leaves: Buffer,
    private readonly stores: readonly Store[]
  ) {}

  static async open(folder: BackupFolder, backup: Backup): Promise<BackupDisk> {
    const leaves = await folder.hashesOf(backup)
    const stores: Store[] = []
    try {
      for (let at: Backup | undefined = backup; at;) {
        const own = await folder.hashesOf(at)
        const below = await folder.hashesBelow(at)
        stores.push(await storeOf(folder.pathOf(at.file), at.over ? changedPlaces(own, below) : ownPlaces(own)))
        if (at.over?.number === 0) stores.push(await storeOf(folder.pathOf(at.over.raw), ownPlaces(below)))
        at = at.over && at.over.number > 0 ? folder.find(at.over.number) : undefined
      }
      return new BackupDisk(backup, leaves, stores)
    } catch (error) {
      await closeAll(stores)
      throw error
    }
  }

  get leafCount(): number {
    return leafCountOf(this.backup.sizeBytes)
  }

  /** @throws TargetError ERR_ISCSI_BACKUP_DAMAGED with the file when the leaf is not what was backed up */
  async read(index: number, buffer: Buffer): Promise<Buffer> {
    const bytes = buffer.subarray(0, leafLength(this.backup.sizeBytes, index))
    const store = this.stores.find(({ places }) => (places[index] ?? -1) >= 0)
    if (!store) throw damaged(this.backup.file)
    const { bytesRead } = await store.handle.read(bytes, 0, bytes.length, store.places[index]! * LEAF_BYTES)
    if (bytesRead < bytes.length || !hashOfLeaf(bytes).equals(hashAt(this.leaves, index))) {
      throw damaged(`${store.path} (from byte ${store.places[index]! * LEAF_BYTES} on)`)
    }
    return bytes
  }

  /** Reads all of it. */
  async verify(progress: (doneBytes: number, totalBytes: number) => void = () => undefined): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
    for (let index = 0; index < this.leafCount; index++) {
      await this.read(index, buffer)
      progress(Math.min(this.backup.sizeBytes, (index + 1) * LEAF_BYTES), this.backup.sizeBytes)
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

function ownPlaces(own: Buffer): Int32Array {
  return Int32Array.from({ length: own.length / HASH_LENGTH }, (_, index) => index)
}

async function storeOf(path: string, places: Int32Array): Promise<Store> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw Object.assign(damaged(path), { cause: error })
  })
  return { path, handle, places }
}

async function closeAll(stores: readonly Store[]): Promise<void> {
  for (const { handle } of stores) await handle.close()
}
