import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { copyRange } from '../../../lib/scsi/copy-range.js'
import { Adaptive } from '../../../lib/volume/adaptive.js'
import { SpaceBudget } from '../../../lib/volume/delta/budget.js'
import type { DeltaOptions } from '../../../lib/volume/delta/delta-options.js'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { FaultPlan, FaultVolume } from '../../../lib/volume/layers/fault.js'
import { Overlay, type OverlayOptions } from '../../../lib/volume/layers/overlay.js'
import { flushVolume, readVolume, writeAtomically, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { Volume } from '../../../lib/volume/volume.js'
import { codeOf } from '../../../lib/util/errors.js'
import { failure, settle, thrown, volumeContract } from '../../contracts/volume.contract.js'
import { Random, seedOf, steps } from '../../support/random.js'

/** A base in memory whose reads can be held back and let go in any order. */
class HeldBase extends Volume {
  readonly readOnly = true
  readonly waiting: (() => void)[] = []
  /** Every read waits until it is let go. */
  holding = false
  failing = false

  constructor(readonly content: Buffer) {
    super()
  }

  get size(): number {
    return this.content.length
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  letGo(random?: Random): void {
    const index = random ? random.int(this.waiting.length) : 0
    this.waiting.splice(index, 1)[0]?.()
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.holding) return false
    this.content.copy(buffer, start, offset, offset + length)
    return true
  }

  protected _read(io: BlockIo): void {
    const answer = () => {
      if (!this.failing) this.content.copy(io.buffer, io.start, io.offset, io.offset + io.length)
      io.complete(this.failing ? Object.assign(new Error('held base'), { code: 'EIO' }) : undefined)
    }
    if (this.holding) this.waiting.push(answer)
    else setImmediate(answer)
  }

  protected _tryWrite(): boolean {
    throw new Error('the base was written')
  }

  protected _write(): void {
    throw new Error('the base was written')
  }

  protected _tryZero(): boolean {
    throw new Error('the base was zeroed')
  }

  protected _zero(): void {
    throw new Error('the base was zeroed')
  }

  protected _flush(): void {
    throw new Error('the base was flushed')
  }
}

/** Never sends an access through the pool for being slow: this machine may be busy. */
class Eager extends Adaptive {
  override allows(): boolean {
    return true
  }
}

/** Sends every other access through the pool, by the seed. */
class Moody extends Adaptive {
  constructor(private readonly random: Random) {
    super(false)
  }

  override allows(): boolean {
    return this.random.chance(0.5)
  }
}

/** Memory, where there is such a place: hundreds of deltas are flushed here, and a disk would set the pace. */
const QUICK_DIRECTORY = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

const CHUNK = 4096
const BOOT = Buffer.alloc(16, 0xb0)

let directory: string
let bin: string

beforeEach(() => {
  directory = fs.mkdtempSync(join(QUICK_DIRECTORY, 'overlay-'))
  bin = join(directory, 'bin')
  fs.mkdirSync(bin)
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

function deltaOptions(base: Volume, more: Partial<DeltaOptions> = {}): DeltaOptions {
  return {
    directory,
    name: 'lun0',
    base: { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 1, size: base.size, mtimeNs: 5n, inode: 7n },
    owner: { target: 'iqn.t', initiator: 'iqn.i', lun: 0, chapUser: '' },
    incarnation: 1,
    bootId: BOOT,
    adaptive: () => new Eager(false),
    ...more
  }
}

function overlayOver(base: Volume, more: Partial<DeltaOptions> = {}, rest: Partial<OverlayOptions> = {}): Overlay {
  return new Overlay({ base, delta: deltaOptions(base, more), ...rest })
}

for (const [chunkSize, size] of [
  [4096, 300 * 1024],
  [4096, 100 * 4096 + 1536],
  [16384, 640 * 1024 + 512],
  [65536, 3 * 65536 + 4608]
] as const) {
  const content = new Random(seedOf(chunkSize + size)).bytes(Buffer.alloc(size))
  volumeContract(
    `an overlay of ${chunkSize}-byte chunks over ${size} bytes`,
    () => {
      const base = new HeldBase(Buffer.from(content))
      return {
        volume: overlayOver(base, { chunkSize }),
        content,
        again: () => overlayOver(base, { chunkSize }),
        dispose: () => expect(base.content.equals(content)).toBe(true)
      }
    },
    { writable: true }
  )
}

describe('an overlay', () => {
  let base: HeldBase
  let overlay: Overlay
  let content: Buffer

  beforeEach(async () => {
    content = new Random(1).bytes(Buffer.alloc(64 * CHUNK))
    base = new HeldBase(Buffer.from(content))
    overlay = overlayOver(base)
    await overlay.open()
  })
  afterEach(async () => {
    base.holding = false
    while (base.waiting.length > 0) base.letGo()
    await overlay.close()
    expect(base.content.equals(content)).toBe(true)
  })

  async function readBack(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length, 0xa5)
    await readVolume(overlay, buffer, offset)
    return buffer
  }

  /** The files of the delta are there, so that the synchronous verbs may work. */
  async function begun(): Promise<void> {
    await writeVolume(overlay, content.subarray(63 * CHUNK), 63 * CHUNK)
  }

  it('makes no file for a client that only reads', async () => {
    await readBack(0, 10 * CHUNK)
    await flushVolume(overlay)
    await overlay.close()
    expect(fs.readdirSync(directory)).toEqual(['bin'])
  })

  it('makes files that nobody else may read', async () => {
    await begun()
    for (const file of ['lun0-1.map', 'lun0-1.slots']) {
      expect(fs.statSync(join(directory, file)).mode & 0o777).toBe(0o600)
    }
  })

  it('reads nothing of the base for a write of whole chunks', async () => {
    await begun()
    base.holding = true
    expect(overlay.tryWrite(Buffer.alloc(3 * CHUNK, 7), 0, 3 * CHUNK, 5 * CHUNK)).toBe(true)
    overlay.commit()
    expect(overlay.stats.copyUps).toBe(0)
    expectBytes(await readBack(5 * CHUNK, 3 * CHUNK), Buffer.alloc(3 * CHUNK, 7))
  })

  it('changes nothing when the base around a part would block', async () => {
    await begun()
    const before = overlay.stats
    base.holding = true
    // The head is in a chunk of the base, the rest would be a whole chunk.
    expect(overlay.tryWrite(Buffer.alloc(2 * CHUNK, 7), 0, CHUNK + 512, CHUNK - 512)).toBe(false)
    expect(overlay.tryZero(CHUNK - 512, CHUNK + 512, true)).toBe(false)
    expect(overlay.stats).toEqual(before)
    expect(overlay.uncommitted).toBe(false)
    base.holding = false
    expectBytes(await readBack(0, 4 * CHUNK), content.subarray(0, 4 * CHUNK))
  })

  it('does not let a base read in flight revert a write that was acknowledged', async () => {
    await begun()
    base.holding = true
    const late = Buffer.alloc(CHUNK)
    const reading = settle((io) => overlay.read(io.set(late, 0, CHUNK, 0)))
    await writeVolume(overlay, Buffer.alloc(CHUNK, 9), 0)
    base.holding = false
    base.letGo()
    await reading
    expect(late.equals(content.subarray(0, CHUNK)) || late.equals(Buffer.alloc(CHUNK, 9))).toBe(true)
    expectBytes(await readBack(0, CHUNK), Buffer.alloc(CHUNK, 9))
  })

  it('keeps a later write to a chunk behind its copy-up, also when it is for the same bytes', async () => {
    await begun()
    base.holding = true
    const first = settle((io) => overlay.write(io.set(Buffer.alloc(100, 1), 0, 100, 10)))
    await turns()
    expect(base.waiting).toHaveLength(1)
    // From here on the base would answer at once: only the hold keeps the others back.
    base.holding = false
    expect(overlay.tryWrite(Buffer.alloc(50, 2), 0, 50, 20)).toBe(false)
    expect(overlay.tryWrite(Buffer.alloc(2 * CHUNK, 2), 0, 2 * CHUNK, 0)).toBe(false)
    expect(overlay.tryZero(20, 50, false)).toBe(false)
    expect(overlay.tryZero(0, CHUNK, true)).toBe(false)
    const second = settle((io) => overlay.write(io.set(Buffer.alloc(50, 2), 0, 50, 20)))
    await turns()
    base.letGo()
    await Promise.all([first, second])
    const wanted = Buffer.from(content.subarray(0, CHUNK))
    wanted.fill(1, 10, 110)
    wanted.fill(2, 20, 70)
    expectBytes(await readBack(0, CHUNK), wanted)
  })

  it('lets a write to another chunk pass one that waits for the base', async () => {
    await begun()
    base.holding = true
    const first = settle((io) => overlay.write(io.set(Buffer.alloc(100, 1), 0, 100, 10)))
    expect(overlay.tryWrite(Buffer.alloc(CHUNK, 2), 0, CHUNK, CHUNK)).toBe(true)
    overlay.commit()
    await turns()
    base.letGo()
    await first
    expectBytes(await readBack(CHUNK, CHUNK), Buffer.alloc(CHUNK, 2))
  })

  it('fails a write whose copy-up cannot read the base, and changes nothing', async () => {
    await begun()
    base.holding = true
    base.failing = true
    const failing = failure((io) => overlay.write(io.set(Buffer.alloc(100, 1), 0, 100, 10)))
    await turns()
    base.letGo()
    expect(codeOf(await failing)).toBe('EIO')
    base.holding = false
    expectBytes(await readBack(0, CHUNK), content.subarray(0, CHUNK))
    await writeVolume(overlay, Buffer.alloc(100, 3), 10)
    expectBytes(await readBack(10, 100), Buffer.alloc(100, 3))
  })

  it('tells the one who decides how long a write took that failed, by either verb', async () => {
    const told: number[] = []
    class Told extends Eager {
      override took(elapsedMs: number): void {
        told.push(elapsedMs)
      }
    }
    const disk = overlayOver(base, { adaptive: () => new Told(false) })
    await disk.open()
    const chunk = new Random(5).bytes(Buffer.alloc(CHUNK))
    await writeVolume(disk, chunk, 0)
    let now = 1000
    jest.spyOn(performance, 'now').mockImplementation(() => now)
    jest.spyOn(fs, 'writeSync').mockImplementation(() => {
      now += 7000
      throw Object.assign(new Error('i/o error'), { code: 'EIO' })
    })
    try {
      told.length = 0
      expect(codeOf(thrown(() => disk.tryWrite(chunk, 0, CHUNK, CHUNK)))).toBe('EIO')
      expect(codeOf(thrown(() => disk.tryZero(CHUNK, 512, false)))).toBe('EIO')
      expect(codeOf(await failure((io) => disk.write(io.set(chunk, 0, CHUNK, CHUNK))))).toBe('EIO')
      expect(told).toEqual([7000, 7000, 7000])
    } finally {
      jest.restoreAllMocks()
    }
    await disk.close()
  })

  it('reads over what it wrote itself though the base cannot be read there, and no further', async () => {
    const plan = new FaultPlan()
    plan.add({ verb: 'read', range: { offset: CHUNK, length: CHUNK }, effect: { kind: 'error', code: 'EIO' } })
    const disk = overlayOver(new FaultVolume(base, plan))
    await disk.open()
    const own = Buffer.alloc(CHUNK, 9)
    await writeVolume(disk, own, CHUNK)
    const buffer = Buffer.alloc(3 * CHUNK)
    // To read in one piece what lies around its own chunk is tried in vain, which is no error of anybody.
    expect(disk.tryRead(buffer, 0, 3 * CHUNK, 0)).toBe(false)
    await readVolume(disk, buffer, 0)
    const rest = content.subarray(2 * CHUNK, 3 * CHUNK)
    expectBytes(buffer, Buffer.concat([content.subarray(0, CHUNK), own, rest]))
    plan.add({ verb: 'read', range: { offset: 0, length: 512 }, effect: { kind: 'error', code: 'EIO' } })
    expect(codeOf(thrown(() => disk.tryRead(buffer, 0, CHUNK, 0)))).toBe('EIO')
    expect(codeOf(await failure((io) => disk.read(io.set(buffer, 0, 3 * CHUNK, 0))))).toBe('EIO')
    await disk.close()
  })

  it('reads across delta, zeroes and base in one request', async () => {
    await writeVolume(overlay, Buffer.alloc(CHUNK, 1), CHUNK)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 5 * CHUNK)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 3), 2 * CHUNK)
    await zeroVolume(overlay, 3 * CHUNK, CHUNK, true)
    const wanted = Buffer.from(content.subarray(0, 8 * CHUNK))
    wanted
      .fill(1, CHUNK, 2 * CHUNK)
      .fill(3, 2 * CHUNK, 3 * CHUNK)
      .fill(0, 3 * CHUNK, 4 * CHUNK)
    wanted.fill(2, 5 * CHUNK, 6 * CHUNK)
    expectBytes(await readBack(700, 7 * CHUNK), wanted.subarray(700, 700 + 7 * CHUNK))
  })

  it('gives the space of unmapped chunks to the next writes, behind a flush', async () => {
    await writeVolume(overlay, Buffer.alloc(20 * CHUNK, 1), 0)
    await zeroVolume(overlay, 0, 20 * CHUNK, true)
    expect(overlay.stats.bytesStored).toBe(0)
    await flushVolume(overlay)
    await writeVolume(overlay, Buffer.alloc(20 * CHUNK, 2), 30 * CHUNK)
    expect(fs.statSync(join(directory, 'lun0-1.slots')).size).toBe(20 * CHUNK)
    expectBytes(await readBack(0, 20 * CHUNK), Buffer.alloc(20 * CHUNK))
  })

  it('does not let a freed slot be written while a read that knows it is under way', async () => {
    await writeVolume(overlay, Buffer.alloc(CHUNK, 1), CHUNK)
    base.holding = true
    // The read takes the base first and is held there; then it comes to the chunk that has a slot now.
    const found = Buffer.alloc(2 * CHUNK)
    const reading = settle((io) => overlay.read(io.set(found, 0, 2 * CHUNK, 0)))
    await zeroVolume(overlay, CHUNK, CHUNK, true)
    await flushVolume(overlay)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 9 * CHUNK)
    expect(fs.statSync(join(directory, 'lun0-1.slots')).size).toBe(2 * CHUNK)
    base.holding = false
    base.letGo()
    await reading
    // Not behind the one before: what is written in sequence stays together.
    await writeVolume(overlay, Buffer.alloc(CHUNK, 3), 20 * CHUNK)
    expect(fs.statSync(join(directory, 'lun0-1.slots')).size).toBe(2 * CHUNK)
    expectBytes(await readBack(9 * CHUNK, CHUNK), Buffer.alloc(CHUNK, 2))
    expectBytes(await readBack(20 * CHUNK, CHUNK), Buffer.alloc(CHUNK, 3))
  })

  it('names zeroes, and only them, as deallocated', async () => {
    await writeVolume(overlay, Buffer.alloc(2 * CHUNK, 1), 2 * CHUNK)
    await zeroVolume(overlay, 4 * CHUNK, 3 * CHUNK, true)
    expect(overlay.extent(2 * CHUNK + 512, 100 * CHUNK)).toEqual({ length: 2 * CHUNK - 512, mapped: true })
    expect(overlay.extent(4 * CHUNK + 512, 100 * CHUNK)).toEqual({ length: 3 * CHUNK - 512, mapped: false })
    expect(overlay.extent(5 * CHUNK, 512)).toEqual({ length: 512, mapped: false })
    expect(overlay.extent(0, CHUNK)).toEqual({ length: CHUNK, mapped: true })
  })

  describe('when it copies chunks', () => {
    it('moves no data and stores none, of the base and of slots, and shows what was there at that moment', async () => {
      await writeVolume(overlay, Buffer.alloc(2 * CHUNK, 1), 4 * CHUNK)
      await zeroVolume(overlay, 6 * CHUNK, CHUNK, true)
      base.holding = true
      expect(await overlay.copy(2 * CHUNK, 20 * CHUNK, 8 * CHUNK)).toBe(8 * CHUNK)
      base.holding = false
      expect(overlay.stats).toMatchObject({ bytesStored: 2 * CHUNK, copyUps: 0 })
      const wanted = await readBack(2 * CHUNK, 8 * CHUNK)
      expect(fs.statSync(join(directory, 'lun0-1.slots')).size).toBe(2 * CHUNK)
      await writeVolume(overlay, Buffer.alloc(8 * CHUNK, 9), 2 * CHUNK)
      expectBytes(await readBack(20 * CHUNK, 8 * CHUNK), wanted)
      expect(overlay.extent(24 * CHUNK, CHUNK)).toEqual({ length: CHUNK, mapped: false })
      expect(overlay.extent(20 * CHUNK, 100 * CHUNK)).toEqual({ length: 4 * CHUNK, mapped: true })
    })

    it('writes a part of a copied chunk to a slot of its own, by either verb, and leaves the others', async () => {
      await writeVolume(overlay, Buffer.alloc(CHUNK, 1), 4 * CHUNK)
      await overlay.copy(4 * CHUNK, 20 * CHUNK, 2 * CHUNK)
      await overlay.copy(20 * CHUNK, 30 * CHUNK, 2 * CHUNK)
      const wanted = await readBack(4 * CHUNK, 2 * CHUNK)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 7), 20 * CHUNK + 512)
      await settle((io) => overlay.zero(io.set(Buffer.alloc(0), 0, 100, 31 * CHUNK + 700)))
      expectBytes(await readBack(4 * CHUNK, 2 * CHUNK), wanted)
      const first = Buffer.from(wanted).fill(7, 512, 512 + CHUNK)
      expectBytes(await readBack(20 * CHUNK, 2 * CHUNK), first)
      expectBytes(await readBack(30 * CHUNK, 2 * CHUNK), Buffer.from(wanted).fill(0, CHUNK + 700, CHUNK + 800))
    })

    it('does not change under a reader what he has begun to read, when the chunks part', async () => {
      await writeVolume(overlay, Buffer.alloc(CHUNK, 1), 5 * CHUNK)
      await overlay.copy(5 * CHUNK, 21 * CHUNK, CHUNK)
      base.holding = true
      // The read takes the base first and is held there, and then the slot that both chunks are in.
      const found = Buffer.alloc(2 * CHUNK)
      const reading = settle((io) => overlay.read(io.set(found, 0, 2 * CHUNK, 4 * CHUNK)))
      await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 21 * CHUNK)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 3), 21 * CHUNK)
      base.holding = false
      base.letGo()
      await reading
      expectBytes(found.subarray(CHUNK), Buffer.alloc(CHUNK, 1))
    })

    it('waits for writes to either place that are under way', async () => {
      await begun()
      base.holding = true
      const writing = settle((io) => overlay.write(io.set(Buffer.alloc(100, 1), 0, 100, 4 * CHUNK)))
      const copying = overlay.copy(4 * CHUNK, 20 * CHUNK, CHUNK)
      const crossing = overlay.copy(20 * CHUNK, 30 * CHUNK, CHUNK)
      await turns()
      expect(overlay.tryWrite(Buffer.alloc(CHUNK), 0, CHUNK, 20 * CHUNK)).toBe(false)
      base.holding = false
      base.letGo()
      expect(await Promise.all([writing, copying, crossing])).toEqual([undefined, CHUNK, CHUNK])
      const wanted = Buffer.from(content.subarray(4 * CHUNK, 5 * CHUNK)).fill(1, 0, 100)
      expectBytes(await readBack(20 * CHUNK, CHUNK), wanted)
      expectBytes(await readBack(30 * CHUNK, CHUNK), wanted)
    })

    it('tells of the place that it copies to, before and behind it', async () => {
      const told: unknown[] = []
      overlay.onChange = (offset, length) => void told.push([offset / CHUNK, length / CHUNK])
      const copying = overlay.copy(2 * CHUNK, 20 * CHUNK, 8 * CHUNK)
      expect(told).toEqual([[20, 8]])
      await copying
      expect(told).toEqual([
        [20, 8],
        [20, 8]
      ])
    })

    it('needs room only when a copy is written over', async () => {
      const budget = new SpaceBudget(6 * CHUNK)
      await overlay.close()
      overlay = overlayOver(base, { budget })
      await overlay.open()
      // Four slots and a leaf of the map; room for one more slot.
      await writeVolume(overlay, Buffer.alloc(4 * CHUNK, 1), 0)
      for (let at = 8; at < 60; at += 4) await overlay.copy(0, at * CHUNK, 4 * CHUNK)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 8 * CHUNK)
      expect(budget.usedBytes).toBe(6 * CHUNK)
      expect(codeOf(thrown(() => overlay.tryWrite(Buffer.alloc(CHUNK, 3), 0, CHUNK, 9 * CHUNK)))).toBe('ENOSPC')
      expectBytes(await readBack(56 * CHUNK, 4 * CHUNK), Buffer.alloc(4 * CHUNK, 1))
    })

    it.each([
      ['plain', false],
      ['encrypted, by place in the slot file and not on the disk', true]
    ])('is what it was when the delta is opened again: %s', async (_what, encrypt) => {
      await overlay.close()
      overlay = overlayOver(base, { encrypt })
      await overlay.open()
      await writeVolume(overlay, Buffer.alloc(4 * CHUNK, 1), 0)
      await overlay.copy(2 * CHUNK, 20 * CHUNK, 8 * CHUNK)
      const wanted = await readBack(0, 64 * CHUNK)
      const { bytesStored } = overlay.stats
      await overlay.close()
      overlay = overlayOver(base)
      await overlay.open()
      expectBytes(await readBack(0, 64 * CHUNK), wanted)
      expect(overlay.stats.bytesStored).toBe(bytesStored)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 3), 3 * CHUNK)
      expectBytes(await readBack(21 * CHUNK, CHUNK), Buffer.alloc(CHUNK, 1))
    })
  })

  describe('a write of what the client reads already', () => {
    const journal = () => overlay.stats.journalBytes
    /** Both verbs do the same. */
    const VERBS: [string, (bytes: Buffer, offset: number) => Promise<void>][] = [
      [
        'at once',
        (bytes, offset) => Promise.resolve(expect(overlay.tryWrite(bytes, 0, bytes.length, offset)).toBe(true))
      ],
      ['later', (bytes, offset) => settle((io) => overlay.write(io.set(bytes, 0, bytes.length, offset)))]
    ]

    describe.each(VERBS)('%s', (_verb, write) => {
      beforeEach(begun)

      it('stores no chunk of zeroes, and gives back the slot of one that had one', async () => {
        await writeVolume(overlay, Buffer.alloc(4 * CHUNK, 1), 10 * CHUNK)
        const bytes = Buffer.alloc(6 * CHUNK)
        bytes.fill(2, 3 * CHUNK, 4 * CHUNK)
        await write(bytes, 8 * CHUNK)
        overlay.commit()
        // Chunks 11 and 63 have slots; 8 to 10, 12 and 13 are zeroes.
        expect(overlay.stats.chunksMapped).toBe(2)
        expect(overlay.extent(8 * CHUNK, 3 * CHUNK)).toEqual({ length: 3 * CHUNK, mapped: false })
        expectBytes(await readBack(8 * CHUNK, 6 * CHUNK), bytes)
      })

      it('notes nothing for zeroes over zeroes, of whole chunks and of parts', async () => {
        await zeroVolume(overlay, 8 * CHUNK, 8 * CHUNK, true)
        const before = journal()
        await write(Buffer.alloc(3 * CHUNK), 9 * CHUNK + 512)
        await zeroVolume(overlay, 8 * CHUNK, 8 * CHUNK, true)
        expect([journal(), overlay.stats.chunksMapped, overlay.uncommitted]).toEqual([before, 1, false])
        expectBytes(await readBack(8 * CHUNK, 8 * CHUNK), Buffer.alloc(8 * CHUNK))
      })

      it('stores no part of a chunk that is the same in the base', async () => {
        const before = journal()
        await write(content.subarray(5 * CHUNK + 512, 5 * CHUNK + 2048), 5 * CHUNK + 512)
        expect([journal(), overlay.stats.chunksMapped, overlay.uncommitted]).toEqual([before, 1, false])
        expectBytes(await readBack(5 * CHUNK, CHUNK), content.subarray(5 * CHUNK, 6 * CHUNK))
      })

      it('stores what differs in one byte, wherever it is', async () => {
        for (const [chunk, at] of [0, 1, 511, 700, 2047, 2048, 4094, 4095].entries()) {
          const bytes = Buffer.alloc(CHUNK)
          bytes[at] = 1
          await write(bytes, chunk * CHUNK)
          const part = Buffer.from(content.subarray((20 + chunk) * CHUNK, (20 + chunk) * CHUNK + 4095))
          part[Math.min(at, 4094)]! ^= 1
          await write(part, (20 + chunk) * CHUNK)
          overlay.commit()
          expectBytes(await readBack(chunk * CHUNK, CHUNK), bytes)
          expectBytes(await readBack((20 + chunk) * CHUNK, 4095), part)
        }
        expect(overlay.stats.chunksMapped).toBe(1 + 16)
      })

      it('stores of a long write the ends that differ, and leaves the others', async () => {
        const bytes = new Random(2).bytes(Buffer.alloc(3 * CHUNK))
        content.copy(bytes, 0, 30 * CHUNK + 512, 31 * CHUNK)
        await write(bytes, 30 * CHUNK + 512)
        overlay.commit()
        // Chunk 30 is the base's, 31, 32 and the head of 33 are new.
        expect(overlay.stats.chunksMapped).toBe(1 + 3)
        const wanted = Buffer.from(content.subarray(30 * CHUNK, 34 * CHUNK))
        bytes.copy(wanted, 512)
        expectBytes(await readBack(30 * CHUNK, 4 * CHUNK), wanted)
      })
    })
  })

  describe('when it is restored', () => {
    it('shows the base again, says what was dropped and puts both files into the bin', async () => {
      await writeVolume(overlay, Buffer.alloc(3 * CHUNK, 1), 0)
      const restored = await overlay.restore(bin)
      expect(restored.bytesDropped).toBe(3 * CHUNK)
      await restored.durable
      expectBytes(await readBack(0, 64 * CHUNK), content)
      expect(fs.readdirSync(directory)).toEqual(['bin'])
      expect(fs.readdirSync(bin)).toHaveLength(2)
      expectBytes(fs.readFileSync(restored.retired.slots), Buffer.alloc(3 * CHUNK, 1))
    })

    it('tells that all of it has changed, and not before', async () => {
      await writeVolume(overlay, Buffer.alloc(3 * CHUNK, 1), 0)
      const seen: unknown[] = []
      overlay.onChange = (offset, length) => {
        seen.push([offset, length])
      }
      await expect(overlay.restore(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'ENOENT' })
      expect(seen).toEqual([])
      await overlay.restore(bin)
      expect(seen).toEqual([[0, overlay.size]])
    })

    it('goes on under a new epoch in new files', async () => {
      await writeVolume(overlay, Buffer.alloc(CHUNK, 1), 0)
      await overlay.restore(bin)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 2), CHUNK)
      expect(overlay.epoch).toBe(2)
      expect(fs.readdirSync(directory).sort()).toEqual(['bin', 'lun0-2.map', 'lun0-2.slots'])
      expectBytes(await readBack(0, 2 * CHUNK), Buffer.concat([content.subarray(0, CHUNK), Buffer.alloc(CHUNK, 2)]))
    })

    it('waits for the requests under way and holds off those that come', async () => {
      await begun()
      base.holding = true
      const writing = settle((io) => overlay.write(io.set(Buffer.alloc(100, 1), 0, 100, 10)))
      await turns()
      const restoring = overlay.restore(bin)
      const late = settle((io) => overlay.write(io.set(Buffer.alloc(CHUNK, 5), 0, CHUNK, 2 * CHUNK)))
      expect(overlay.tryRead(Buffer.alloc(CHUNK), 0, CHUNK, 0)).toBe(false)
      expect(overlay.tryWrite(Buffer.alloc(CHUNK), 0, CHUNK, 0)).toBe(false)
      base.holding = false
      base.letGo()
      expect((await restoring).bytesDropped).toBe(2 * CHUNK)
      await Promise.all([writing, late])
      const wanted = Buffer.from(content)
      wanted.fill(5, 2 * CHUNK, 3 * CHUNK)
      expectBytes(await readBack(0, 64 * CHUNK), wanted)
    })

    it('keeps the delta when the bin cannot be reached', async () => {
      await writeVolume(overlay, Buffer.alloc(CHUNK, 1), 0)
      await expect(overlay.restore(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'ENOENT' })
      expectBytes(await readBack(0, CHUNK), Buffer.alloc(CHUNK, 1))
      await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 0)
      await overlay.close()
      overlay = overlayOver(base)
      await overlay.open()
      expectBytes(await readBack(0, CHUNK), Buffer.alloc(CHUNK, 2))
    })

    it('never lets two drops meet in the bin', async () => {
      for (let i = 0; i < 3; i++) {
        await writeVolume(overlay, Buffer.alloc(CHUNK, i), 0)
        await overlay.restore(bin)
        await overlay.close()
        overlay = overlayOver(base)
        await overlay.open()
      }
      expect(fs.readdirSync(bin)).toHaveLength(6)
    })

    it('gives its space back to the budget', async () => {
      const budget = new SpaceBudget()
      await overlay.close()
      overlay = overlayOver(base, { budget })
      await overlay.open()
      await writeVolume(overlay, Buffer.alloc(3 * CHUNK, 1), 0)
      // Three slots and one leaf of the map.
      expect(budget.usedBytes).toBe(4 * CHUNK)
      const { durable } = await overlay.restore(bin)
      await durable
      expect(budget.usedBytes).toBe(0)
    })
  })

  describe('when it is full', () => {
    let budget: SpaceBudget
    let warnings: number

    beforeEach(async () => {
      budget = new SpaceBudget(11 * CHUNK)
      warnings = 0
      await overlay.close()
      overlay = overlayOver(base, { budget }, { onNearlyFull: () => warnings++ })
      await overlay.open()
      // Ten slots and a leaf of the map fill it.
      await writeVolume(overlay, Buffer.alloc(10 * CHUNK, 1), 0)
    })

    it('fails only writes that need a new chunk, by either verb, and keeps what was written', async () => {
      expect(codeOf(thrown(() => overlay.tryWrite(Buffer.alloc(CHUNK, 1), 0, CHUNK, 20 * CHUNK)))).toBe('ENOSPC')
      expect(codeOf(thrown(() => overlay.tryWrite(Buffer.alloc(CHUNK, 1), 0, 512, 20 * CHUNK)))).toBe('ENOSPC')
      const error = await failure((io) => overlay.write(io.set(Buffer.alloc(CHUNK, 1), 0, CHUNK, 20 * CHUNK)))
      expect(codeOf(error)).toBe('ENOSPC')
      await writeVolume(overlay, Buffer.alloc(10 * CHUNK, 2), 0)
      expectBytes(await readBack(0, 10 * CHUNK), Buffer.alloc(10 * CHUNK, 2))
      expectBytes(await readBack(20 * CHUNK, CHUNK), content.subarray(20 * CHUNK, 21 * CHUNK))
    })

    it('takes new chunks again when others were unmapped, by a flush of its own', async () => {
      await zeroVolume(overlay, 0, 3 * CHUNK, true)
      await writeVolume(overlay, Buffer.alloc(3 * CHUNK, 3), 40 * CHUNK)
      expect(codeOf(thrown(() => overlay.tryWrite(Buffer.alloc(CHUNK, 1), 0, CHUNK, 20 * CHUNK)))).toBe('ENOSPC')
      expectBytes(await readBack(40 * CHUNK, 3 * CHUNK), Buffer.alloc(3 * CHUNK, 3))
    })

    it('warns once at the soft threshold, and again after it was below', async () => {
      expect(warnings).toBe(1)
      await zeroVolume(overlay, 0, 5 * CHUNK, true)
      await writeVolume(overlay, Buffer.alloc(CHUNK, 1), 0)
      expect(warnings).toBe(1)
      await writeVolume(overlay, Buffer.alloc(4 * CHUNK, 1), CHUNK)
      expect(warnings).toBe(2)
    })

    it('counts what a delta holds that is opened again', async () => {
      await overlay.close()
      expect(budget.usedBytes).toBe(0)
      overlay = overlayOver(base, { budget })
      await overlay.open()
      expect(budget.usedBytes).toBe(11 * CHUNK)
    })
  })

  it('writes atomically: a journal without its one record shows all that was there before', async () => {
    await writeVolume(overlay, Buffer.alloc(3 * CHUNK, 1), 2 * CHUNK)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 2), 9 * CHUNK)
    const before = await readBack(0, 16 * CHUNK)
    const journal = join(directory, 'lun0-1.map')
    const { size } = fs.statSync(journal)
    const slots = fs.readFileSync(join(directory, 'lun0-1.slots'))
    await writeAtomically(overlay, Buffer.alloc(8 * CHUNK, 7), 3 * CHUNK)
    const after = Buffer.from(before).fill(7, 3 * CHUNK, 11 * CHUNK)
    expectBytes(await readBack(0, 16 * CHUNK), after)
    // Nothing was written over: all eight chunks have new slots, three of them had old ones.
    const written = fs.readFileSync(join(directory, 'lun0-1.slots'))
    expectBytes(written.subarray(0, 3 * CHUNK), slots.subarray(0, 3 * CHUNK))
    expectBytes(written.subarray(slots.length - CHUNK, slots.length), Buffer.alloc(CHUNK, 2))
    expect(overlay.stats.bytesStored).toBe(9 * CHUNK)
    const record = fs.statSync(journal).size - size
    await overlay.close()
    fs.truncateSync(journal, size + record - 1)
    overlay = overlayOver(base)
    await overlay.open()
    expectBytes(await readBack(0, 16 * CHUNK), before)
  })

  it('undoes all writes since the last commit when the journal cannot take them, and goes on', async () => {
    await writeVolume(overlay, Buffer.alloc(2 * CHUNK, 1), 0)
    const before = overlay.stats.bytesStored
    expect(overlay.tryWrite(Buffer.alloc(CHUNK, 2), 0, CHUNK, 10 * CHUNK)).toBe(true)
    expect(overlay.tryZero(0, CHUNK, true)).toBe(true)
    expect(overlay.tryWrite(Buffer.alloc(100, 3), 0, 100, 20 * CHUNK)).toBe(true)
    expect(overlay.uncommitted).toBe(true)
    breakOneWrite(join(directory, 'lun0-1.map'))
    expect(codeOf(thrown(() => overlay.commit()))).toBe('EIO')
    expect(overlay.uncommitted).toBe(false)
    expect(overlay.stats.bytesStored).toBe(before)
    expectBytes(await readBack(0, 2 * CHUNK), Buffer.alloc(2 * CHUNK, 1))
    expectBytes(await readBack(10 * CHUNK, CHUNK), content.subarray(10 * CHUNK, 11 * CHUNK))
    expectBytes(await readBack(20 * CHUNK, CHUNK), content.subarray(20 * CHUNK, 21 * CHUNK))
    await writeVolume(overlay, Buffer.alloc(CHUNK, 4), 10 * CHUNK)
    expectBytes(await readBack(10 * CHUNK, CHUNK), Buffer.alloc(CHUNK, 4))
  })

  it('tells the committer when the commit of another took his writes with it', async () => {
    await begun()
    expect(overlay.tryWrite(Buffer.alloc(CHUNK, 2), 0, CHUNK, 10 * CHUNK)).toBe(true)
    breakOneWrite(join(directory, 'lun0-1.map'))
    const error = await failure((io) => overlay.write(io.set(Buffer.alloc(CHUNK, 3), 0, CHUNK, 12 * CHUNK)))
    expect(codeOf(error)).toBe('EIO')
    expect(overlay.uncommitted).toBe(true)
    expect(codeOf(thrown(() => overlay.commit()))).toBe('EIO')
    expectBytes(await readBack(10 * CHUNK, 3 * CHUNK), content.subarray(10 * CHUNK, 13 * CHUNK))
  })

  // Found by the campaign of requests that fail, under an order of the history's seed 703.
  it('commits what an attempt had changed before the disk was full, when the rest is done later', async () => {
    await begun()
    await writeVolume(overlay, Buffer.alloc(2 * CHUNK, 1), 11 * CHUNK)
    // A flush would bring its slot back, so a full disk is no reason to fail yet.
    await zeroVolume(overlay, 12 * CHUNK, CHUNK, true)
    const bytes = Buffer.concat([Buffer.alloc(CHUNK), Buffer.alloc(CHUNK, 2)])
    breakOneWrite(join(directory, 'lun0-1.slots'), 'ENOSPC')
    expect(overlay.tryWrite(bytes, 0, 2 * CHUNK, 10 * CHUNK)).toBe(false)
    await settle((io) => overlay.write(io.set(bytes, 0, 2 * CHUNK, 10 * CHUNK)))
    expect(overlay.uncommitted).toBe(false)
    expectBytes(await readBack(10 * CHUNK, 2 * CHUNK), bytes)
  })

  for (const seed of [11, 12, 13].map(seedOf)) {
    it(`agrees with a plain array while requests overtake each other (seed ${seed})`, async () => {
      await overlay.close()
      await campaign(new Random(seed), steps(400))
    })
  }

  /** Verbs of all kinds with a base that is held now and then; in each round no two changes overlap. */
  async function campaign(random: Random, rounds: number): Promise<void> {
    const size = 48 * CHUNK + 1024
    content = random.bytes(Buffer.alloc(size))
    base = new HeldBase(Buffer.from(content))
    const model = Buffer.from(content)
    const chunkSize = random.pick([4096, 8192, 32768])
    const open = async (): Promise<void> => {
      overlay = overlayOver(base, { chunkSize, compactionBytesMin: 6000, adaptive: () => new Moody(random) })
      await overlay.open()
    }
    await open()
    for (let round = 0; round < rounds; round++) {
      base.holding = random.chance(0.4)
      const pending: Promise<void>[] = []
      const taken: [number, number][] = []
      for (let n = random.int(6); n >= 0; n--) {
        const offset = random.int(size)
        const length = Math.min(
          size - offset,
          random.chance(0.5) ? 1 + random.int(3 * chunkSize) : 512 * random.int(20)
        )
        if (taken.some(([from, end]) => from < offset + length && offset < end)) continue
        taken.push([offset, offset + length])
        const source = random.chance(0.2) ? sourceOf(random, chunkSize, offset, size - length) : undefined
        if (source === undefined) pending.push(step(random, model, offset, length))
        else if (!taken.some(([from, end]) => from < source + length && source < end)) {
          taken.push([source, source + length])
          model.copy(model, offset, source, source + length)
          pending.push(copied(source, offset, length))
        }
      }
      if (random.chance(0.1)) pending.push(flushVolume(overlay))
      for (;;) {
        if (base.waiting.length > 0) base.letGo(random)
        const done = await Promise.race([Promise.all(pending).then(() => true), turns().then(() => false)])
        if (done) break
      }
      base.holding = false
      if (random.chance(0.02)) {
        await overlay.restore(bin)
        content.copy(model)
      }
      if (random.chance(0.02)) {
        await overlay.close()
        await open()
      }
      if (round % 10 === 0) expect((await readBack(0, size)).equals(model)).toBe(true)
    }
    expect((await readBack(0, size)).equals(model)).toBe(true)
    expect(overlay.stats.compactions).toBeGreaterThanOrEqual(0)
  }

  /** Where a copy comes from: a place that differs by whole chunks, as the map can copy, or any. */
  function sourceOf(random: Random, chunkSize: number, offset: number, most: number): number | undefined {
    const source = random.chance(0.8) ? (offset % chunkSize) + chunkSize * random.int(12) : random.int(most + 1)
    return source <= most ? source : undefined
  }

  async function copied(source: number, destination: number, length: number): Promise<void> {
    const range = {
      source: overlay,
      sourceOffset: source,
      destination: overlay,
      destinationOffset: destination,
      length
    }
    expect(await copyRange(range, () => true)).toBe(length)
  }

  function step(random: Random, model: Buffer, offset: number, length: number): Promise<void> {
    const dice = random.int(10)
    if (dice < 3) {
      const found = Buffer.alloc(length)
      const wanted = Buffer.from(model.subarray(offset, offset + length))
      return readVolume(overlay, found, offset).then(() => expect(found.equals(wanted)).toBe(true))
    }
    if (dice < 7) {
      const bytes = random.bytes(Buffer.alloc(length))
      bytes.copy(model, offset)
      if (length > 0 && random.chance(0.3)) return writeAtomically(overlay, bytes, offset)
      if (random.chance(0.5)) return writeVolume(overlay, bytes, offset)
      return settle((io) => overlay.write(io.set(bytes, 0, length, offset)))
    }
    model.fill(0, offset, offset + length)
    if (random.chance(0.5)) return zeroVolume(overlay, offset, length, true)
    return settle((io) => overlay.zero(io.set(Buffer.alloc(0), 0, length, offset)))
  }

  it(`ends overlapping writes with the bytes of one of them in each byte (seed ${seedOf(21)})`, async () => {
    const random = new Random(seedOf(21))
    await begun()
    for (let round = 0; round < steps(100); round++) {
      base.holding = random.chance(0.5)
      const pending = Array.from({ length: 6 }, (_, i) => {
        const offset = 512 * random.int(16)
        const length = 512 * (1 + random.int(16))
        return writeVolume(overlay, Buffer.alloc(length, i + 1), offset).then(() => [offset, length, i + 1] as const)
      })
      for (;;) {
        if (base.waiting.length > 0) base.letGo(random)
        const done = await Promise.race([Promise.all(pending).then(() => true), turns().then(() => false)])
        if (done) break
      }
      const ranges = await Promise.all(pending)
      const found = await readBack(0, 32 * 512)
      for (let block = 0; block < 32; block++) {
        const writers = ranges
          .filter(([at, n]) => at <= block * 512 && block * 512 < at + n)
          .map(([, , value]) => value)
        const bytes = found.subarray(block * 512, block * 512 + 512)
        if (writers.length > 0) {
          expect(writers).toContain(bytes[0])
          expect(bytes.equals(Buffer.alloc(512, bytes[0]))).toBe(true)
        }
      }
    }
  })
})

/** Compares at once and names the first difference; jest's own comparison takes seconds for such lengths. */
function expectBytes(found: Buffer, wanted: Buffer): void {
  expect(found.length).toBe(wanted.length)
  const at = found.findIndex((byte, index) => byte !== wanted[index])
  expect(at < 0 ? 'equal' : `byte ${at} is ${found[at]}, should be ${wanted[at]}`).toBe('equal')
}

/** Lets the next write to this file fail, by putting a descriptor that cannot be written in the place of its own. */
function breakOneWrite(path: string, code = 'EIO'): void {
  const inode = fs.statSync(path).ino
  const original = fs.writeSync
  const broken = ((fd: number, ...rest: never[]) => {
    if (fs.fstatSync(fd).ino !== inode) return (original as (...all: unknown[]) => number)(fd, ...rest)
    fs.writeSync = original
    throw Object.assign(new Error('injected'), { code })
  }) as typeof fs.writeSync
  fs.writeSync = broken
}

async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
