import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeSync
} from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from '@jest/globals'
import { coveredBytes } from '../../../lib/target/generations/flatten.js'
import { fileStorage, type ImageStorage, type StoredImage } from '../../../lib/target/image-storage.js'
import { codeOf } from '../../../lib/util/errors.js'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { BorrowedVolume } from '../../../lib/volume/layers/borrowed.js'
import { readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { fail, type Volume } from '../../../lib/volume/volume.js'
import { Random, seedOf, steps } from '../../support/random.js'
import { ALICE, BOB, LOGOUT, SILENCE, TargetBench } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'
const SIZE = 96 * 4096
const AUTHOR = { initiators: [{ match: STUDIO, policy: 'author' as const }] }

let bench: TargetBench
afterEach(() => bench.remove())

const control = () => bench.server!.control
const image = async () => (await control().images())[0]!
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const layers = () => {
  const folder = join(bench.state, 'generations')
  const [uuid] = readdirSync(folder).filter((name) => !name.endsWith('.json'))
  return join(folder, uuid!)
}

/** One write into the raw file, as it reached the driver. */
interface RawWrite {
  readonly offset: number
  readonly bytes: Buffer
}

/** A raw file that stops taking anything at an operation, as a server does that dies; what it took is listed. */
class DyingVolume extends BorrowedVolume {
  constructor(
    lent: Volume,
    private readonly life: Life
  ) {
    super(lent)
  }

  protected override _tryWrite(): boolean {
    return false
  }

  protected override _tryZero(): boolean {
    return false
  }

  protected override _write(io: BlockIo): void {
    if (this.life.ends()) return fail(io, new Error('it died'))
    this.life.writes.push({
      offset: io.offset,
      bytes: Buffer.from(io.buffer.subarray(io.start, io.start + io.length))
    })
    super._write(io)
  }

  protected override _zero(io: BlockIo): void {
    if (this.life.ends()) return fail(io, new Error('it died'))
    this.life.writes.push({ offset: io.offset, bytes: Buffer.alloc(io.length) })
    super._zero(io)
  }

  protected override _flush(io: BlockIo): void {
    if (this.life.ends()) return fail(io, new Error('it died'))
    this.life.synced = true
    super._flush(io)
  }
}

class Life {
  operations = 0
  synced = false
  readonly writes: RawWrite[] = []

  /** @param last - the operation that is not done any more */
  constructor(readonly last: number) {}

  ends(): boolean {
    return ++this.operations >= this.last
  }
}

function dyingStorage(life: Life): ImageStorage {
  const storage = fileStorage(undefined)
  return {
    ...storage,
    async open(located, options): Promise<StoredImage> {
      const stored = await storage.open(located, options)
      if (options.readOnly) return stored
      const whole = new DyingVolume(stored.whole, life)
      return {
        whole,
        bottom: stored.bottom,
        view: (partition, blockSize) => stored.view(partition, blockSize),
        openView: (partition, blockSize) => stored.openView(partition, blockSize),
        unlock: () => stored.unlock(),
        close: () => stored.close()
      }
    }
  }
}

/** An image with three generations by the seed; answers what each of them holds. */
async function makeGenerations(random: Random): Promise<Buffer[]> {
  bench = await TargetBench.make({}, AUTHOR)
  const contents = [random.bytes(Buffer.alloc(SIZE))]
  await writeFile(bench.image, contents[0]!)
  await bench.start()
  for (let number = 1; number <= 3; number++) {
    const content = Buffer.from(contents[number - 1]!)
    const nexus = await bench.login({ initiatorName: STUDIO })
    const { volume } = nexus.units.get(0)!.unit
    for (let n = 0; n < 5; n++) {
      const offset = random.int(SIZE / 512) * 512
      const length = Math.min(SIZE - offset, (1 + random.int(60)) * 512)
      const bytes = random.chance(0.3) ? Buffer.alloc(length) : random.bytes(Buffer.alloc(length))
      if (bytes[0] === 0) await zeroVolume(volume, offset, length, true)
      else await writeVolume(volume, bytes, offset)
      if (bytes[0] === 0) content.fill(0, offset, offset + length)
      else bytes.copy(content, offset)
    }
    await bench.end(nexus, LOGOUT)
    await control().publish({})
    contents.push(content)
  }
  return contents
}

async function content(initiatorName = BOB): Promise<Buffer> {
  const nexus = await bench.login({ initiatorName })
  const found = Buffer.alloc(SIZE)
  await readVolume(nexus.units.get(0)!.unit.volume, found, 0)
  await bench.end(nexus, LOGOUT)
  return found
}

async function flattened(to?: number): Promise<string> {
  const { id } = await control().flatten({ to })
  await bench.settled()
  return (await control().jobs()).find((job) => job.id === id)!.state
}

describe('a flatten', () => {
  it('makes the raw file the newest generation, and the layers go', async () => {
    const contents = await makeGenerations(new Random(1))
    expect(await flattened()).toBe('done')
    expect(readFileSync(bench.image).equals(contents[3]!)).toBe(true)
    expect(readdirSync(layers())).toEqual([])
    const { raw, current, generations } = await image()
    expect([raw, current, generations.map(({ available }) => available)]).toEqual([3, 3, [false, false, false, true]])
    expect((await content()).equals(contents[3]!)).toBe(true)
    expect(await failure(control().rollback({}))).toBe('ERR_ISCSI_GENERATION_GONE')
    await bench.start()
    expect((await content()).equals(contents[3]!)).toBe(true)
  })

  it('of a part leaves the layers above it, which can be rolled back to it', async () => {
    const contents = await makeGenerations(new Random(2))
    expect(await flattened(2)).toBe('done')
    expect(readFileSync(bench.image).equals(contents[2]!)).toBe(true)
    expect(readdirSync(layers()).sort()).toEqual(['0003.map', '0003.slots'])
    expect((await content()).equals(contents[3]!)).toBe(true)
    await control().rollback({})
    expect((await content()).equals(contents[2]!)).toBe(true)
  })

  it('goes on under sessions, who see what they saw, and write what they want', async () => {
    const contents = await makeGenerations(new Random(3))
    const nexus = await bench.login()
    const { volume } = nexus.units.get(0)!.unit
    await bench.write(nexus, 8192, 0xaa)
    const wanted = Buffer.from(contents[3]!).fill(0xaa, 8192, 12288)
    const { id } = await control().flatten({})
    const found = Buffer.alloc(SIZE)
    for (let job = (await control().jobs())[0]!; job.state === 'running';) {
      await readVolume(volume, found, 0)
      expect(found.equals(wanted)).toBe(true)
      // Reads that are answered from memory alone would leave nobody else a turn.
      await nextTurn()
      job = (await control().jobs()).find((one) => one.id === id)!
    }
    // The layers that it reads are there as long as it is.
    expect(readdirSync(layers())).toHaveLength(6)
    await readVolume(volume, found, 0)
    expect(found.equals(wanted)).toBe(true)
    await bench.end(nexus, SILENCE)
    const again = await bench.login()
    await readVolume(again.units.get(0)!.unit.volume, found, 0)
    expect(found.equals(wanted)).toBe(true)
    await bench.end(again, LOGOUT)
    await bench.settled()
    expect(readdirSync(layers())).toEqual([])
  })

  it.each<[string, () => Promise<unknown>]>([
    ['a session', () => bench.login({ initiatorName: ALICE })],
    ['a delta that is kept', () => bench.visit(1, SILENCE, { initiatorName: ALICE })],
    ['a delta in the bin', () => bench.visit(1, LOGOUT, { initiatorName: ALICE })],
    ['a client that comes back, which wrote nothing', async () => bench.end(await bench.login(), SILENCE)],
    [
      'the same after a restart of the server',
      async () => {
        await bench.end(await bench.login(), SILENCE)
        await bench.start()
      }
    ],
    [
      'a session that a stop of the server ended',
      async () => {
        await bench.login()
        await bench.start()
      }
    ]
  ])('is refused while %s needs a generation below, and goes as far as it can', async (_what, use) => {
    const contents = await makeGenerations(new Random(4))
    await control().rollback({ to: 1 })
    await use()
    await control().publish({ generation: 3 })
    expect(await failure(control().flatten({ to: 3 }))).toBe('ERR_ISCSI_FLATTEN')
    expect(await flattened()).toBe('done')
    expect((await image()).raw).toBe(1)
    expect(readFileSync(bench.image).equals(contents[1]!)).toBe(true)
    expect((await content('iqn.2026-01.org.example:new')).equals(contents[3]!)).toBe(true)
    const nexuses = bench.nexuses.length > 0 ? bench.nexuses : [await bench.login({ initiatorName: ALICE })]
    expect(await bench.read(nexuses[0]!, SIZE - 512)).toBe(contents[1]![SIZE - 512])
  })

  it('is refused when there is nothing to merge, or no such generation', async () => {
    await makeGenerations(new Random(5))
    await flattened()
    expect(await failure(control().flatten({}))).toBe('ERR_ISCSI_FLATTEN')
    expect(await failure(control().flatten({ to: 9 }))).toBe('ERR_ISCSI_GENERATION_UNKNOWN')
    expect(await failure(control().flatten({ to: 1 }))).toBe('ERR_ISCSI_GENERATION_GONE')
  })

  it('keeps deltas over the generation that is the raw file now, and takes what is published over it', async () => {
    const contents = await makeGenerations(new Random(6))
    await bench.visit(0xaa, SILENCE)
    await flattened()
    await bench.start()
    const nexus = await bench.login()
    expect([await bench.read(nexus, 0), nexus.units.get(0)!.fenced]).toEqual([0xaa, false])
    await bench.end(nexus, LOGOUT)
    await bench.visit(0xbb, LOGOUT, { initiatorName: STUDIO })
    await control().publish({})
    expect((await content()).equals(Buffer.from(contents[3]!).fill(0xbb, 0, 4096))).toBe(true)
  })

  it('shows another disk to a client that wrote nothing, when the generation that it saw is gone', async () => {
    await makeGenerations(new Random(8))
    await flattened()
    const first = await bench.login()
    await bench.end(first, SILENCE)
    await bench.stop()
    await writeFile(bench.image, Buffer.alloc(SIZE, 0xdd))
    await bench.start()
    const again = await bench.login()
    expect(await bench.read(again, 0)).toBe(0xdd)
    expect(again.units.get(0)!.fenced).toBe(true)
    expect(again.units.get(0)!.unit.identity.serial).not.toBe(first.units.get(0)!.unit.identity.serial)
    expect(bench.log.lines.join()).toContain('generation 3 of the image is not there any more')
    await bench.end(again, LOGOUT)
    const after = await bench.login()
    expect(after.units.get(0)!.unit.identity.serial).toBe(again.units.get(0)!.unit.identity.serial)
  })

  it('lets an author write into the raw file again when nothing lies above it, which is a new generation', async () => {
    await makeGenerations(new Random(7))
    await flattened()
    await bench.start({ targets: [bench.target({ authors: [ALICE] })] })
    await bench.visit(0xcc, LOGOUT)
    expect((await content())[0]).toBe(0xcc)
    const { raw, current } = await image()
    expect([raw, current]).toEqual([4, 4])
  })
})

describe('a flatten that is cut short', () => {
  /** Dies at the operation, in one of three ways, and starts again. False when it lived on. */
  async function dieAt(operation: number, random: Random, power: boolean): Promise<boolean> {
    const contents = await makeGenerations(random)
    const life = new Life(operation)
    await bench.start({}, { storage: dyingStorage(life) })
    const state = await flattened()
    if (power && state === 'failed') {
      await bench.stop()
      loseWrites(contents[0]!, life, random)
    }
    await bench.start({}, { storage: dyingStorage(new Life(0)) })
    // The raw file and the layers over it are the generation, whatever of the copy is there.
    const found = await content()
    expect([random.seed, operation, found.equals(contents[3]!)]).toEqual([random.seed, operation, true])
    await bench.start()
    await bench.settled()
    expect((await image()).raw).toBe(3)
    expect(readFileSync(bench.image).equals(contents[3]!)).toBe(true)
    expect((await content()).equals(contents[3]!)).toBe(true)
    await bench.remove()
    return state === 'failed'
  }

  /** After a power cut any part of what was not synced is there, sector by sector. */
  function loseWrites(before: Buffer, life: Life, random: Random): void {
    if (life.synced) return
    const medium = Buffer.from(before)
    for (const { offset, bytes } of life.writes) {
      for (let at = 0; at < bytes.length; at += 512) {
        if (random.chance(0.5)) bytes.copy(medium, offset + at, at, at + 512)
      }
    }
    // The same file: a copy in its place would be another one.
    const file = openSync(bench.image, 'r+')
    writeSync(file, medium, 0, medium.length, 0)
    fsyncSync(file)
    closeSync(file)
  }

  it.each([
    ['the server dies', false],
    ['the power fails', true]
  ])(
    'at any operation because %s goes on at the next start, and shows the generation before and after',
    async (_why, power) => {
      // Every third operation in a test run, fewer in a quick check, all of them and many histories in a long campaign.
      const stride = steps(1) > 1 ? 1 : steps(10) < 10 ? 9 : 3
      for (let round = 0; round < steps(1); round++) {
        for (let operation = 1; await dieAt(operation, new Random(seedOf(900 + round)), power); operation += stride);
      }
      bench = await TargetBench.make()
    }
  )

  /** What is on disk right before the record says that the raw file holds the generation, and right behind that. */
  it.each([
    ['before the record says that it is done', true, 6],
    ['behind that, before the layers are gone', false, 6],
    ['behind that, when the half of a layer is gone', false, 5]
  ])('%s ends all the same', async (_when, keepRecord, files) => {
    const contents = await makeGenerations(new Random(8))
    const [folder, saved] = [layers(), join(bench.directory, 'saved')]
    mkdirSync(saved)
    const names = readdirSync(folder)
    for (const name of names) copyFileSync(join(folder, name), join(saved, name))
    const record = `${folder}.json`
    const noted = JSON.parse(readFileSync(record, 'utf8')) as object
    expect(await flattened()).toBe('done')
    await bench.stop()
    for (const name of names.sort().slice(0, files)) copyFileSync(join(saved, name), join(folder, name))
    if (keepRecord) await writeFile(record, JSON.stringify({ ...noted, flattening: 3 }))
    await bench.start()
    expect((await content()).equals(contents[3]!)).toBe(true)
    await bench.settled()
    await bench.start()
    expect((await content()).equals(contents[3]!)).toBe(true)
    expect(readFileSync(bench.image).equals(contents[3]!)).toBe(true)
    expect([readdirSync(folder), (await image()).raw]).toEqual([[], 3])
    rmSync(saved, { recursive: true })
  })

  it('over a file that was exchanged meanwhile is not gone on with', async () => {
    await makeGenerations(new Random(9))
    await bench.start({}, { storage: dyingStorage(new Life(3)) })
    expect(await flattened()).toBe('failed')
    await bench.stop()
    // The old one is there as long as the new one is made, so that they differ in their inodes.
    await rename(bench.image, `${bench.image}.away`)
    await writeFile(bench.image, Buffer.alloc(SIZE, 9))
    await bench.start()
    expect(await failure(bench.login())).not.toBe('done')
    expect(readFileSync(bench.image).equals(Buffer.alloc(SIZE, 9))).toBe(true)
  })
})

describe('what there is to copy', () => {
  it('is nothing of a raw file alone', () => expect(coveredBytes(new MemoryVolume(1 << 20, true))).toBe(0))
})
