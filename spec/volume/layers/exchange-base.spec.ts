import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { DeltaOptions } from '../../../lib/volume/delta/delta-options.js'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import type { BaseFingerprint } from '../../../lib/volume/delta/journal-format.js'
import { readDeltaHeader } from '../../../lib/volume/delta/reissue.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { readVolume, writeVolume } from '../../../lib/volume/promises.js'
import { Random, seedOf, steps } from '../../support/random.js'

const SECTOR = 512
const CHUNK = 4096
/** The last chunk is a short one. */
const SIZE = 64 * CHUNK + 3 * SECTOR

let folder: string
let content: Buffer
let overlay: Overlay
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cloudx-exchange-'))
  content = new Random(20261123).bytes(Buffer.alloc(SIZE))
})
afterEach(async () => {
  await overlay.close().catch(() => undefined)
  fs.rmSync(folder, { recursive: true, force: true })
})

function fingerprint(generation: number, size: number): BaseFingerprint {
  return { uuid: '00000000-0000-4000-8000-000000000000', generation, size, mtimeNs: 0n, inode: 0n }
}

/** A base that begins with the content and has zeroes behind it. */
async function baseOf(size: number): Promise<MemoryVolume> {
  const base = new MemoryVolume(size, true, content)
  await base.open()
  return base
}

async function open(size: number, generation: number, more: Partial<DeltaOptions> = {}): Promise<Overlay> {
  const owner = { target: 't', initiator: 'i', lun: 0, chapUser: '' }
  const delta = { directory: folder, name: 'lun-0', base: fingerprint(generation, size), owner, incarnation: 3 }
  overlay = new Overlay({ base: await baseOf(size), delta: { ...delta, ...more } })
  await overlay.open()
  return overlay
}

async function grow(size: number, generation: number): Promise<void> {
  expect(await overlay.exchangeBase(await baseOf(size), fingerprint(generation, size))).toBe(undefined)
}

async function whole(): Promise<Buffer> {
  const bytes = Buffer.alloc(overlay.size)
  await readVolume(overlay, bytes, 0)
  return bytes
}

const paths = () => deltaPaths(folder, 'lun-0', 1)

describe.each([false, true])('an overlay over a base that is exchanged for a larger one, encrypted: %s', (encrypt) => {
  it('keeps what was written, shows zeroes behind it, and takes writes there', async () => {
    await open(SIZE, 1, { encrypt })
    await writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), CHUNK)
    await grow(2 * SIZE, 2)
    const expected = Buffer.concat([content, Buffer.alloc(SIZE)]).fill(0x77, CHUNK, 2 * CHUNK)
    expect((await whole()).equals(expected)).toBe(true)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 0x88), 2 * SIZE - CHUNK)
    expected.fill(0x88, 2 * SIZE - CHUNK)
    expect((await whole()).equals(expected)).toBe(true)
    await overlay.close()
    expect((await readDeltaHeader(paths().map)).base).toEqual(fingerprint(2, 2 * SIZE))
    await open(2 * SIZE, 2)
    expect((await whole()).equals(expected)).toBe(true)
  })

  it('shows nothing of what a slot held behind the end of the disk', async () => {
    await open(SIZE, 1, { encrypt })
    // A slot that was full once comes to the short chunk.
    await writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), 0)
    await overlay.close()
    const slots = fs.openSync(paths().slots, 'r+')
    fs.writeSync(slots, Buffer.alloc(CHUNK, 0xee), 0, CHUNK, CHUNK)
    fs.closeSync(slots)
    await open(SIZE, 1)
    await writeVolume(overlay, Buffer.alloc(SECTOR, 0x88), SIZE - SECTOR)
    await grow(2 * SIZE, 2)
    const expected = Buffer.concat([content, Buffer.alloc(SIZE)])
      .fill(0x77, 0, CHUNK)
      .fill(0x88, SIZE - SECTOR, SIZE)
    expect((await whole()).equals(expected)).toBe(true)
  })
})

describe('an exchange of the base', () => {
  it('needs no files when nothing was written, and the epoch stays the next one', async () => {
    await open(SIZE, 1, { epochAfter: 6 })
    await grow(2 * SIZE, 2)
    expect(fs.readdirSync(folder)).toEqual([])
    await writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), 0)
    expect(fs.readdirSync(folder).sort()).toEqual(['lun-0-7.map', 'lun-0-7.slots'])
  })

  it('gives way to the first write, whose delta somebody has to remember before', async () => {
    let remembered = (): void => undefined
    const beforeCreate = () => new Promise<void>((resolve) => (remembered = resolve))
    await open(SIZE, 1, { beforeCreate })
    const written = writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), 0)
    const larger = await baseOf(2 * SIZE)
    const retry = await overlay.exchangeBase(larger, fingerprint(2, 2 * SIZE))
    remembered()
    await retry!.behind
    await written
    await grow(2 * SIZE, 2)
    expect((await whole()).subarray(0, CHUNK).equals(Buffer.alloc(CHUNK, 0x77))).toBe(true)
  })

  it('gives way also to a first write that begins while it waits for a reader', async () => {
    let remembered = (): void => undefined
    await open(SIZE, 1, { beforeCreate: () => new Promise<void>((resolve) => (remembered = resolve)) })
    const work = Promise.all([whole(), writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), 0)])
    const exchanged = overlay.exchangeBase(await baseOf(2 * SIZE), fingerprint(2, 2 * SIZE))
    const retry = await exchanged
    remembered()
    await retry!.behind
    await work
    await grow(2 * SIZE, 2)
  })

  it('leaves the disk as it was when the map file cannot be replaced', async () => {
    await open(SIZE, 1)
    await writeVolume(overlay, Buffer.alloc(CHUNK, 0x77), 0)
    // A directory is in the way of the file that takes its place.
    fs.mkdirSync(`${paths().map}.new`)
    await expect(overlay.exchangeBase(await baseOf(2 * SIZE), fingerprint(2, 2 * SIZE))).rejects.toThrow()
    expect((await whole()).equals(Buffer.from(content).fill(0x77, 0, CHUNK))).toBe(true)
    expect((await readDeltaHeader(paths().map)).base).toEqual(fingerprint(1, SIZE))
    fs.rmdirSync(`${paths().map}.new`)
    await grow(2 * SIZE, 2)
  })

  const seed = seedOf(0x2a09)
  it(`loses and invents nothing under clients that read and write all the while (seed ${seed})`, async () => {
    const random = new Random(seed)
    await open(SIZE, 1)
    let model = Buffer.from(content)
    for (let round = 1; round <= Math.min(12, steps(6)); round++) {
      const size = SIZE + round * 5 * SECTOR
      const writes: Promise<void>[] = []
      const taken = new Set<number>()
      const next = Buffer.concat([model, Buffer.alloc(5 * SECTOR)])
      for (let write = 0; write < 12; write++) {
        const chunk = random.int(Math.floor(model.length / CHUNK))
        if (taken.has(chunk)) continue
        taken.add(chunk)
        const bytes = random.bytes(Buffer.alloc(SECTOR * (1 + random.int(8))))
        const offset = chunk * CHUNK + SECTOR * random.int((CHUNK - bytes.length) / SECTOR + 1)
        bytes.copy(next, offset)
        writes.push(writeVolume(overlay, bytes, offset))
      }
      const exchange = async (): Promise<void> => {
        const base = await baseOf(size)
        const retry = await overlay.exchangeBase(base, fingerprint(1 + round, size))
        await retry?.behind
        if (retry) await exchange()
      }
      await Promise.all([exchange(), ...writes])
      model = next
      if (!(await whole()).equals(model)) throw new Error(`round ${round}: not what was written`)
    }
  })
})
