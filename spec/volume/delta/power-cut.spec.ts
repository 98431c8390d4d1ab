import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../../lib/util/errors.js'
import type { PunchHole } from '../../../lib/volume/delta/hole-puncher.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { copyRange } from '../../../lib/scsi/copy-range.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { flushVolume, readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import type { Volume } from '../../../lib/volume/volume.js'
import { Random, seedOf, steps } from '../../support/random.js'
import { Medium, SimulatedDisk, type Survival } from '../../support/simulated-disk.js'
import { HEADER } from './golden.js'

/**
 * Histories of writes, copies, unmaps, flushes, deaths of the process and ends of sessions over a disk that loses, mixes and
 * tears whatever was not synced. Between any two of its requests the power is cut, and what is read back afterwards
 * must be something that was sent, and no older than the last flush.
 */

const ROOT = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const BLOCK = 512
const BLOCK_WORDS = BLOCK / 4
const CHUNK_BLOCKS = 8
/** 40 chunks and a short one. */
const BLOCKS = 40 * 8 + 3
const SIZE = BLOCKS * BLOCK
const THIS_BOOT = Buffer.alloc(16, 1)
const NEXT_BOOT = Buffer.alloc(16, 2)
/** And the number of the block. */
const BASE_STAMP = 0xba5e0000
const ZERO_STAMP = 0
/** Few, so that a history has compactions. */
const COMPACTION_BYTES = 400

let base: Volume
beforeAll(async () => {
  SimulatedDisk.install()
  base = new MemoryVolume(
    SIZE,
    true,
    stamped((block) => BASE_STAMP + block, 0, BLOCKS)
  )
  await base.open()
})
afterAll(() => SimulatedDisk.uninstall())

/** Each block is filled with one number. */
function stamped(stampOf: (block: number) => number, first: number, count: number): Buffer {
  const words = new Uint32Array(count * BLOCK_WORDS)
  for (let i = 0; i < count; i++) words.fill(stampOf(first + i), i * BLOCK_WORDS, (i + 1) * BLOCK_WORDS)
  return Buffer.from(words.buffer)
}

/** The stamp of each block, or -1 where a block is a mixture. */
function stampsOf(bytes: Buffer): number[] {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  return Array.from({ length: BLOCKS }, (_, block) => {
    const stamp = words[block * BLOCK_WORDS]!
    for (let i = 1; i < BLOCK_WORDS; i++) if (words[block * BLOCK_WORDS + i] !== stamp) return -1
    return stamp
  })
}

/** Holes as the simulated disk can have them, as long as the process lives. */
class Holes {
  private alive = true
  private made = 0
  private making: Promise<unknown> = Promise.resolve()

  readonly punch: PunchHole = (fd, position, length) => {
    if (!this.alive) return Promise.reject(new Error('the process is dead'))
    this.made++
    const done = new Promise<void>((resolve, reject) => {
      fs.write(fd, Buffer.alloc(length), 0, length, position, (error) => (error ? reject(error) : resolve()))
    })
    this.making = Promise.allSettled([this.making, done])
    return done
  }

  /** @returns how many there were */
  async end(): Promise<number> {
    this.alive = false
    await this.making
    return this.made
  }
}

const noHoles: PunchHole = () => Promise.reject(new Error('this file system has no holes'))

function open(directory: string, bootId: Buffer, punch = noHoles): Promise<Overlay> {
  const overlay = new Overlay({
    base,
    delta: {
      directory,
      name: 'd',
      base: { ...HEADER.base, size: SIZE },
      owner: HEADER.owner,
      incarnation: 1,
      bootId,
      compactionBytesMin: COMPACTION_BYTES,
      punch,
      punchBytesMin: 4096,
      punchDelayMs: 0
    }
  })
  return overlay.open().then(() => overlay)
}

/** One write or unmap: from when on it may be found, and from when on the process had it answered. */
interface Sent {
  readonly stamp: number
  readonly sentAt: number
  answeredAt: number
}

/** What may be found in each block. Moments are counted in events of the disk. */
class Ledger {
  private readonly blocks: Sent[][] = Array.from({ length: BLOCKS }, (_, block) => [
    { stamp: BASE_STAMP + block, sentAt: 0, answeredAt: 0 }
  ])
  /** Flushes: what had been answered before one began is on the medium when it has ended. */
  private readonly flushes: { begunAt: number; endedAt: number; orders: number[] }[] = []

  send(stamp: number, first: number, count: number, now: number): Sent {
    const sent = { stamp, sentAt: now, answeredAt: Infinity }
    for (let block = first; block < first + count; block++) this.blocks[block]!.push(sent)
    return sent
  }

  beginFlush(now: number): (now: number) => void {
    const orders = this.blocks.map((versions) => versions.findLastIndex(({ answeredAt }) => answeredAt <= now))
    return (endedAt) => this.flushes.push({ begunAt: now, endedAt, orders })
  }

  /** @returns what is wrong about the stamps that were found, at a cut at that moment; undefined when nothing is */
  judge(found: readonly number[], moment: number, survival: Survival): string | undefined {
    const flushed = this.flushes.findLast(({ endedAt }) => endedAt <= moment)
    for (let block = 0; block < BLOCKS; block++) {
      const versions = this.blocks[block]!
      const oldest =
        survival === 'all'
          ? versions.findLastIndex(({ answeredAt }) => answeredAt <= moment)
          : (flushed?.orders[block] ?? 0)
      const allowed = versions.slice(oldest).filter(({ sentAt }) => sentAt <= moment)
      if (allowed.some(({ stamp }) => stamp === found[block])) continue
      const stamps = allowed.map(({ stamp }) => stamp.toString(16)).join(' ')
      return `block ${block} holds ${found[block]!.toString(16)}, of ${stamps}`
    }
    return undefined
  }

  /** Whether something that had been answered is not what is found. */
  misses(found: readonly number[], moment: number): boolean {
    return found.some((stamp, block) => {
      const versions = this.blocks[block]!
      const oldest = versions.findLastIndex(({ answeredAt }) => answeredAt <= moment)
      return !versions.slice(oldest).some((sent) => sent.stamp === stamp && sent.sentAt <= moment)
    })
  }
}

/** A history and the disk that it left. */
class History {
  readonly ledger = new Ledger()
  readonly disk: SimulatedDisk
  holes = 0
  compactions = 0
  private overlay!: Overlay
  private process = new Holes()
  private stamp = 0

  constructor(
    readonly random: Random,
    readonly directory: string
  ) {
    this.disk = new SimulatedDisk(directory)
  }

  private get now(): number {
    return this.disk.events.length
  }

  async run(length: number): Promise<void> {
    this.disk.use()
    this.overlay = await open(this.directory, THIS_BOOT, this.process.punch)
    await this.overlay.wake(1)
    let flushing: Promise<void> | undefined
    for (let step = 0; step < length; step++) {
      const dice = this.random.int(40)
      if (dice < 17) await this.write()
      else if (dice < 23) await this.copy()
      else if (dice < 30) await this.unmap()
      else if (dice < 34) flushing = this.flush()
      else {
        await flushing
        if (dice < 36) await this.rest()
        else await this.reopen()
      }
      if (this.random.chance(0.5)) await flushing
    }
    await flushing
    await this.die()
  }

  /** The process dies. */
  private async die(): Promise<void> {
    this.holes += await this.process.end()
    this.compactions += this.overlay.stats.compactions
    await this.disk.closeAll()
  }

  /**
   * The same with requests that fail. What was refused may have been done in part; everything else must be there, in
   * the view and when the process is started again.
   * @returns what is wrong, undefined when nothing is
   */
  async runFailing(length: number, failAt: number, code: string): Promise<string | undefined> {
    this.disk.use()
    this.overlay = await open(this.directory, THIS_BOOT)
    await this.overlay.wake(1)
    Object.assign(this.disk, { failAt, failCode: code })
    for (let step = 0; step < length; step++) {
      const dice = this.random.int(40)
      await this.tried(() => {
        if (dice < 17) return this.write()
        if (dice < 23) return this.copy()
        if (dice < 30) return this.unmap()
        return dice < 35 ? this.flush() : this.rest()
      })
    }
    const live = await this.look()
    const unlike = this.ledger.judge(live, this.now, 'all')
    if (unlike !== undefined) return `the view: ${unlike}`
    const failed = this.overlay.failure !== undefined
    await this.disk.closeAll()
    this.overlay = await this.openAgain()
    const suspect = this.overlay.report.replay?.suspect ?? false
    // After a sync that failed only what was flushed before can be relied on, and the client must be told.
    if (failed && !suspect) return 'a failed sync was forgotten'
    const wrong = this.ledger.judge(await this.look(), this.now, suspect ? 'synced' : 'all')
    await this.disk.closeAll()
    return wrong
  }

  private async tried(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!['EIO', 'ENOSPC'].includes(codeOf(error))) throw error
    }
  }

  private async look(): Promise<number[]> {
    const bytes = Buffer.alloc(SIZE)
    await readVolume(this.overlay, bytes, 0)
    return stampsOf(bytes)
  }

  private range(): [number, number] {
    const first = this.random.int(BLOCKS)
    const most = this.random.chance(0.2) ? 64 : 12
    return [first, 1 + this.random.int(Math.min(most, BLOCKS - first))]
  }

  private async write(): Promise<void> {
    const [first, count] = this.range()
    const dice = this.random.int(20)
    // Zeroes, and what may be there already, need not be stored.
    const stamp = dice < 3 ? ZERO_STAMP : dice < 5 ? BASE_STAMP : ++this.stamp
    const sent = this.ledger.send(stamp, first, count, this.now)
    await writeVolume(
      this.overlay,
      stamped(() => stamp, first, count),
      first * BLOCK
    )
    sent.answeredAt = this.now
  }

  private async unmap(): Promise<void> {
    const [first, count] = this.range()
    const sent = this.ledger.send(ZERO_STAMP, first, count, this.now)
    await zeroVolume(this.overlay, first * BLOCK, count * BLOCK, true)
    sent.answeredAt = this.now
  }

  /** Mostly whole chunks, which only the map copies, and often those that were copied before. */
  private async copy(): Promise<void> {
    const grain = this.random.chance(0.8) ? CHUNK_BLOCKS : 1
    const count = Math.min(BLOCKS, grain * (1 + this.random.int(this.random.chance(0.2) ? 16 : 4)))
    const place = () => grain * this.random.int(Math.floor((BLOCKS - count) / grain) + 1)
    const [from, to] = [place(), place()]
    const stamps = (await this.look()).slice(from, from + count)
    const sent = stamps.map((stamp, i) => this.ledger.send(stamp, to + i, 1, this.now))
    const bytes = { sourceOffset: from * BLOCK, destinationOffset: to * BLOCK, length: count * BLOCK }
    await copyRange({ source: this.overlay, destination: this.overlay, ...bytes }, () => true)
    for (const one of sent) one.answeredAt = this.now
  }

  private async flush(): Promise<void> {
    const ended = this.ledger.beginFlush(this.now)
    await flushVolume(this.overlay)
    ended(this.now)
  }

  /** All sessions end, and another begins. */
  private async rest(): Promise<void> {
    const ended = this.ledger.beginFlush(this.now)
    await this.overlay.rest()
    ended(this.now)
    if (this.random.chance(0.5)) await this.overlay.wake(1)
    else await this.reopen()
  }

  /** The process dies and is started again. A login that the disk refuses is tried again. */
  private async reopen(): Promise<void> {
    const login = async () => {
      await this.die()
      this.process = new Holes()
      this.overlay = await open(this.directory, THIS_BOOT, this.process.punch)
      await this.overlay.wake(1)
    }
    await login().catch(login)
  }

  /** A login that the disk refuses is tried again. */
  private openAgain(): Promise<Overlay> {
    const opened = () => open(this.directory, THIS_BOOT)
    return opened().catch(opened)
  }
}

async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = fs.mkdtempSync(join(ROOT, 'power-cut-'))
  try {
    return await work(directory)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** Reads all of a disk that was laid out. */
async function readBack(directory: string, bootId: Buffer): Promise<{ stamps: number[]; suspect: boolean }> {
  const overlay = await open(directory, bootId)
  const bytes = Buffer.alloc(SIZE)
  await readVolume(overlay, bytes, 0)
  const suspect = overlay.report.replay?.suspect ?? true
  await overlay.close()
  return { stamps: stampsOf(bytes), suspect }
}

async function judgeCut(history: History, medium: Medium, moment: number, survival: Survival): Promise<void> {
  const { random, ledger } = history
  medium.advanceTo(moment)
  await inDirectory(async (directory) => {
    medium.layOut(directory, survival, random)
    const where = `${survival}, cut before event ${moment} of ${history.disk.events.length}`
    const found = await readBack(directory, survival === 'all' ? THIS_BOOT : NEXT_BOOT).catch((error: unknown) => {
      throw new Error(where, { cause: error })
    })
    const wrong = ledger.judge(found.stamps, moment, survival)
    if (wrong !== undefined) throw new Error(`${where}: ${wrong}`)
    if (!found.suspect && ledger.misses(found.stamps, moment)) throw new Error(`${where}: missed in silence`)
  })
}

const SURVIVALS: readonly Survival[] = ['any', 'synced', 'any', 'all']
/** The full campaign has 30 times as many. */
const HISTORIES = 7
const LENGTH = 60
/** A short run takes some of the moments and requests, the full campaign each. */
const STRIDE = steps(1) > 1 ? 1 : 5
const CAMPAIGN_LIMIT_MS = 3_600_000

describe('a power cut at any moment', () => {
  const seed = seedOf(501)
  it(
    `loses no flushed write and invents none, in ${steps(HISTORIES)} histories (seed ${seed})`,
    async () => {
      let cuts = 0
      let holes = 0
      let compactions = 0
      for (let n = 0; n < steps(HISTORIES); n++) {
        await inDirectory(async (directory) => {
          // Each history has a seed of its own, so that SPEC_SEED brings back the one that failed as the first.
          const history = new History(new Random(seed + n), directory)
          await history.run(LENGTH)
          holes += history.holes
          compactions += history.compactions
          // Laying out and reading back is not to be recorded.
          new SimulatedDisk(join(ROOT, 'nowhere')).use()
          const medium = new Medium(history.disk.events)
          for (let moment = n % STRIDE; moment <= history.disk.events.length; moment += STRIDE) {
            const survival = SURVIVALS[cuts % SURVIVALS.length]!
            await judgeCut(history, medium, moment, survival).catch((error: unknown) => {
              throw new Error(`the history of seed ${seed + n}`, { cause: error })
            })
            cuts++
          }
        })
      }
      expect(holes).toBeGreaterThan(0)
      expect(compactions).toBeGreaterThan(0)
      expect(cuts).toBeGreaterThan((steps(HISTORIES) * LENGTH) / STRIDE)
    },
    CAMPAIGN_LIMIT_MS
  )
})

describe('a request of the disk that fails', () => {
  const seed = seedOf(701)
  it.each(['EIO', 'ENOSPC'])(
    `with %s, whichever it is, leaves all earlier data and the base intact (seed ${seed})`,
    async (code) => {
      const whole = Buffer.alloc(SIZE)
      for (let n = 0; n < steps(1); n++) {
        const again = (failAt: number) =>
          inDirectory(async (directory) => {
            const history = new History(new Random(seed + n), directory)
            const wrong = await history.runFailing(30, failAt, code)
            if (wrong !== undefined) throw new Error(`history ${seed + n}, request ${failAt}: ${wrong}`)
            return history.disk.requests
          })
        const requests = await again(Infinity)
        expect(requests).toBeGreaterThan(30)
        for (let failAt = n % STRIDE; failAt < requests; failAt += STRIDE) await again(failAt)
      }
      await readVolume(base, whole, 0)
      expect(stampsOf(whole).every((stamp, block) => stamp === BASE_STAMP + block)).toBe(true)
    },
    CAMPAIGN_LIMIT_MS
  )
})
