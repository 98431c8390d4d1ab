import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LogicalUnit } from '../../scsi/logical-unit.js'
import type { Clock, Timer } from '../../util/clock.js'
import { messageOf } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { formatDuration, formatSize } from '../../util/units.js'
import type { Volume } from '../../volume/volume.js'
import type { Image } from '../images.js'
import { readJson, removeFile, writeJson } from '../json-file.js'
import { Serial } from '../serial.js'
import { FirstReads, PIECE_BYTES } from './first-reads.js'
import { formatWarmList, parseWarmList } from './warm-list.js'
import { Warmer } from './warmer.js'

/** A disk that clients see: an image, or one partition of it. */
export interface WarmDisk {
  readonly image: Image
  readonly partition: number | undefined
  readonly blockSize: number
}

export interface WarmUpOptions {
  /** Most that is remembered of a disk, and read at the start of all of them; 0 = nothing. */
  readonly budgetBytes: number
  /** See {@link WarmerOptions}. */
  readonly activity: () => number
  readonly clock: Clock
  readonly log: Logger
  /** Bytes that programs could have now, besides what can be read again. */
  readonly availableMemory?: () => number
}

/** How long after its login the reads of a client count. */
export const FIRST_MS = 60_000
/** Share of the memory that is to be had which a warm-up may fill. */
const MEMORY_SHARE = 0.25
const PROGRESS_MS = 10_000

interface Watched {
  readonly disk: WarmDisk
  readonly identity: string
  readonly reads: FirstReads
  /** What was read at earlier times of the same content. */
  earlier: readonly number[]
  /** Of `reads`, what the file has. */
  savedCount: number
}

/**
 * A warm start: what clients read in the first minute of their sessions is remembered beside the state, and read ahead
 * at the next start of the server, before the first of them asks. The list of a disk is good for what it showed then;
 * when the image has changed, or new logins get another generation of it, it is dropped.
 */
export class WarmUp {
  private readonly watched = new Map<string, Watched>()
  /** Units that are being watched, each with the end of its time. */
  private readonly units = new Map<LogicalUnit, Timer>()
  private readonly saves = new Serial()
  private warmer: Warmer | undefined
  private running: Promise<void> = Promise.resolve()
  private closed = false

  constructor(private readonly options: WarmUpOptions) {}

  private get piecesMax(): number {
    return Math.floor(this.options.budgetBytes / PIECE_BYTES)
  }

  /** Begins in the background; clients can come. */
  start(disks: readonly WarmDisk[]): void {
    if (this.piecesMax > 0) this.running = this.warmAll(disks)
  }

  /** Resolves when nothing is read ahead any more. */
  async idle(): Promise<void> {
    await this.running
  }

  /** A session begins that sees this disk by this unit: what it reads from now on is what the next one will read. */
  async began(disk: WarmDisk, unit: LogicalUnit): Promise<void> {
    if (this.piecesMax === 0 || this.closed) return
    const watched = this.watched.get(keyOf(disk))
    const identity = identityOf(disk)
    if (watched?.identity === identity) return this.watch(unit, watched)
    const fresh: Watched = { disk, identity, reads: new FirstReads(this.piecesMax), earlier: [], savedCount: 0 }
    this.watched.set(keyOf(disk), fresh)
    // It reads on while we look what is known already.
    this.watch(unit, fresh)
    await this.saves.run(async () => (fresh.earlier = await this.readPieces(disk)))
  }

  private watch(unit: LogicalUnit, watched: Watched): void {
    this.units.get(unit)?.cancel()
    unit.firstReads = watched.reads
    const timer = this.options.clock.setTimer(FIRST_MS, () => {
      this.units.delete(unit)
      unit.firstReads = undefined
      void this.save(watched)
    })
    this.units.set(unit, timer)
  }

  /** Resolves when nothing is read any more and all is on disk. */
  async close(): Promise<void> {
    this.closed = true
    this.warmer?.stop()
    for (const [unit, timer] of this.units) {
      timer.cancel()
      unit.firstReads = undefined
    }
    this.units.clear()
    await this.running
    for (const watched of this.watched.values()) await this.save(watched)
    await this.saves.idle()
  }

  // --- The lists ---

  private save(watched: Watched): Promise<void> {
    return this.saves.run(async () => {
      const { disk, identity, reads, earlier } = watched
      if (reads.count === watched.savedCount || this.watched.get(keyOf(disk)) !== watched) return
      const path = pathOf(disk)
      const count = reads.count
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        // A power cut may take it: it only costs the next start some time.
        await writeJson(path, formatWarmList({ identity, pieces: reads.before(earlier) }), false)
        watched.savedCount = count
      } catch (error) {
        this.options.log.warn(`cannot note what clients read first of ${disk.image.path}: ${messageOf(error)}`)
      }
    })
  }

  /** What is known of this disk; a list of what it showed before goes. */
  private async readPieces(disk: WarmDisk): Promise<readonly number[]> {
    const path = pathOf(disk)
    try {
      const value = await readJson(path)
      if (value === undefined) return []
      const list = parseWarmList(path, value, sizeOf(disk), this.piecesMax)
      if (list.identity === identityOf(disk)) return list.pieces
      this.options.log.info(
        `${disk.image.path} has changed since clients read it last: what they will read first is not known`
      )
    } catch (error) {
      this.options.log.warn(`what clients read first is not known any more: ${messageOf(error)}`)
    }
    await removeFile(path).catch(() => undefined)
    return []
  }

  // --- At the start ---

  private async warmAll(disks: readonly WarmDisk[]): Promise<void> {
    let leftBytes = this.budgetNow()
    const keys = new Set<string>()
    for (const disk of disks) {
      if (keys.has(keyOf(disk)) || this.closed) continue
      keys.add(keyOf(disk))
      try {
        leftBytes -= await this.warm(disk, leftBytes)
      } catch (error) {
        // An image that an author takes, or that is being merged, is closed under it; nobody has lost anything.
        this.options.log.info(`${disk.image.path}: the warm-up has ended early: ${messageOf(error)}`)
      }
    }
  }

  private budgetNow(): number {
    const available = (this.options.availableMemory ?? (() => process.availableMemory()))()
    return Math.min(this.options.budgetBytes, Math.floor(available * MEMORY_SHARE))
  }

  /** @returns bytes that were read */
  private async warm(disk: WarmDisk, budgetBytes: number): Promise<number> {
    const { image } = disk
    if (!image.shared && image.generations.trouble !== undefined) return 0
    const pieces = await this.saves.run(() => this.readPieces(disk))
    const { clock, log, activity } = this.options
    const wantedBytes = Math.min(budgetBytes, pieces.length * PIECE_BYTES)
    if (wantedBytes < PIECE_BYTES || this.closed) return 0
    const begin = clock.monotonic()
    let told = begin
    log.info(`Warm-up: reading ${formatSize(wantedBytes)} of ${image.path} ahead, which clients read first`)
    const progress = (doneBytes: number, totalBytes: number): void => {
      if (clock.monotonic() - told < PROGRESS_MS || doneBytes >= totalBytes) return
      told = clock.monotonic()
      log.info(`Warm-up: ${formatSize(doneBytes)} of ${formatSize(totalBytes)} of ${image.path} are read`)
    }
    const volume = await viewOf(disk)
    this.warmer = new Warmer({ volume, pieces, budgetBytes, activity, clock, progress })
    if (this.closed) return 0
    const bytes = await this.warmer.run()
    if (this.closed) return bytes
    log.info(
      `Warm-up: ${formatSize(bytes)} of ${image.path} are in memory, after ${formatDuration(clock.monotonic() - begin)}`
    )
    return bytes
  }
}

function keyOf(disk: WarmDisk): string {
  return pathOf(disk)
}

function pathOf({ image, partition }: WarmDisk): string {
  return join(image.statePath, 'first-reads', `${image.uuid}-${partition ?? 'disk'}.json`)
}

/** What the disk shows to new logins; of a shared one, which changes all the time, what cannot change under it. */
function identityOf(disk: WarmDisk): string {
  const { image } = disk
  if (image.shared) return `shared, ${sizeOf(disk)} bytes`
  const { generation, size, mtimeNs, inode } = image.fingerprint(image.generations.current)
  return `generation ${generation}, ${size} bytes, time ${mtimeNs}, file ${inode}`
}

function sizeOf({ image, partition, blockSize }: WarmDisk): number {
  return image.sizeOf(partition, blockSize)
}

function viewOf({ image, partition, blockSize }: WarmDisk): Promise<Volume> {
  if (image.shared) return Promise.resolve(image.rawView(partition, blockSize))
  return image.view(image.generations.current, partition, blockSize)
}
