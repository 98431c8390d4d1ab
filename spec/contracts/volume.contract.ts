import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BlockIo } from '../../lib/volume/block-io.js'
import { flushVolume, readVolume, writeVolume, zeroVolume } from '../../lib/volume/promises.js'
import type { Volume } from '../../lib/volume/volume.js'
import { codeOf } from '../../lib/util/errors.js'
import { Random, seedOf, steps } from '../support/random.js'
import { SparseModel } from '../support/sparse-model.js'

/** One fresh volume for one spec. */
export interface VolumeFixture {
  /** Not yet open. */
  volume: Volume
  /** What it must hold when it is opened; its length is the size. Left out: `size` zeroes. */
  content?: Buffer
  /** Needed when `content` is left out. */
  size?: number
  /** Another, unopened volume over the same storage; called after the first was closed. */
  again?: () => Volume
  /** Runs after the volume was closed. */
  dispose?: () => void | Promise<void>
}

export interface VolumeTraits {
  writable: boolean
  /** First byte and length of the range that the writing specs keep to; the whole volume by default. */
  writableRange?: { offset: number; length: number }
  /** What `again` opens still has what was written; true by default where `again` exists. */
  persistent?: boolean
  /** Steps of the random spec, 300 by default. */
  steps?: number
  seed?: number
  /** Longest random request in bytes, 20000 by default. */
  requestBytesMax?: number
}

const IN_FLIGHT = 8

/**
 * What every volume keeps to, whatever it ends at or wraps. Call it in a spec file once for each driver or layer:
 * a driver is tested by being listed.
 */
export function volumeContract(
  name: string,
  make: () => VolumeFixture | Promise<VolumeFixture>,
  traits: VolumeTraits
): void {
  describe(`${name}, as a volume`, () => {
    let fixture: VolumeFixture
    let volume: Volume
    let model: SparseModel

    beforeEach(async () => {
      fixture = await make()
      volume = fixture.volume
      model = new SparseModel(fixture.content?.length ?? fixture.size!, fixture.content)
    })
    afterEach(async () => {
      await volume.close()
      await fixture.dispose?.()
    })

    function range(): { offset: number; length: number } {
      return traits.writableRange ?? { offset: 0, length: volume.size }
    }

    describe('life cycle', () => {
      it('can be closed without having been opened', async () => {
        await expect(volume.close()).resolves.toBeUndefined()
      })

      it('has its size and its access mode once it is open', async () => {
        await volume.open()
        expect(volume.size).toBe(model.size)
        expect(volume.readOnly).toBe(!traits.writable)
      })

      it('can be closed twice, one call behind the other', async () => {
        await volume.open()
        await volume.close()
        await expect(volume.close()).resolves.toBeUndefined()
      })

      it('can be closed twice at the same time', async () => {
        await volume.open()
        await expect(Promise.all([volume.close(), volume.close()])).resolves.toHaveLength(2)
      })

      it('never claims success for a verb before it is open', async () => {
        for (const outcome of await tryEveryVerb(volume, traits.writable)) expect(outcome).not.toBe('done')
      })

      it('never claims success for a verb after it was closed', async () => {
        await volume.open()
        await volume.close()
        for (const outcome of await tryEveryVerb(volume, traits.writable)) expect(outcome).not.toBe('done')
      })

      it('ends the requests under way before close() resolves', async () => {
        await volume.open()
        const length = Math.min(4096, volume.size)
        const ended: (Error | undefined)[] = []
        for (let i = 0; i < IN_FLIGHT; i++) {
          volume.read(new BlockIo((_io, error) => ended.push(error)).set(Buffer.alloc(length), 0, length, 0))
        }
        await volume.close()
        expect(ended).toHaveLength(IN_FLIGHT)
      })

      if (traits.writable) {
        it('has what was written after it was closed and opened again', async () => {
          if (!fixture.again || traits.persistent === false) return expect(fixture.again).toBeUndefined()
          await volume.open()
          const bytes = new Random(seedOf(3)).bytes(Buffer.alloc(Math.min(9000, range().length)))
          await writeVolume(volume, bytes, range().offset)
          await volume.close()
          volume = fixture.again()
          await volume.open()
          const found = Buffer.alloc(bytes.length)
          await readVolume(volume, found, range().offset)
          expect(found.equals(bytes)).toBe(true)
        })
      }
    })

    describe('when open', () => {
      beforeEach(async () => volume.open())

      async function same(offset: number, length: number): Promise<void> {
        const found = Buffer.alloc(length, 0xa5)
        await readVolume(volume, found, offset)
        expectSame(found, model.read(offset, length), offset)
      }

      it('reads what it held at first, from end to end', async () => {
        const step = 1 << 20
        const last = Math.min(model.size, 64 * step)
        for (let at = 0; at < last; at += step) await same(at, Math.min(step, model.size - at))
        await same(model.size - Math.min(model.size, 4096), Math.min(model.size, 4096))
      })

      it('reads the first byte, the last byte and no byte', async () => {
        await same(0, 1)
        await same(model.size - 1, 1)
        await same(0, 0)
        await same(model.size, 0)
      })

      it('reads into the given place of the buffer and leaves the bytes around it', async () => {
        const length = Math.min(1000, model.size)
        const buffer = Buffer.alloc(length + 64, 0x5a)
        await settle((io) => volume.read(io.set(buffer, 32, length, 0)))
        expect(buffer.subarray(0, 32).equals(Buffer.alloc(32, 0x5a))).toBe(true)
        expect(buffer.subarray(32, 32 + length).equals(model.read(0, length))).toBe(true)
        expect(buffer.subarray(32 + length).equals(Buffer.alloc(32, 0x5a))).toBe(true)
        if (volume.tryRead(buffer, 16, length, 0)) {
          expect(buffer.subarray(0, 16).equals(Buffer.alloc(16, 0x5a))).toBe(true)
          expect(buffer.subarray(16, 16 + length).equals(model.read(0, length))).toBe(true)
          expect(buffer.subarray(32 + length).equals(Buffer.alloc(32, 0x5a))).toBe(true)
        }
      })

      it('gives the synchronous verb and the asynchronous one the same bytes', async () => {
        const random = new Random(seedOf(5))
        for (let i = 0; i < 50; i++) {
          const [offset, length] = place(random, 0, model.size, 8192)
          const later = Buffer.alloc(length)
          await settle((io) => volume.read(io.set(later, 0, length, offset)))
          expectSame(later, model.read(offset, length), offset)
          const now = Buffer.alloc(length)
          if (volume.tryRead(now, 0, length, offset)) expectSame(now, later, offset)
        }
      })

      it('takes a range that leaves it for a mistake of the caller', () => {
        const buffer = Buffer.alloc(1024)
        const io = new BlockIo(() => undefined)
        expect(() => volume.tryRead(buffer, 0, 1, model.size)).toThrow(/range/)
        expect(() => volume.tryRead(buffer, 0, 1024, model.size - 512)).toThrow(/range/)
        expect(() => volume.tryRead(buffer, 0, 1, -1)).toThrow(/range/)
        expect(() => volume.tryWrite(buffer, 0, 1, model.size)).toThrow(/range/)
        expect(() => volume.tryZero(model.size, 1, false)).toThrow(/range/)
        expect(() => volume.read(io.set(buffer, 0, 2, model.size - 1))).toThrow(/range/)
        expect(() => volume.write(io.set(buffer, 0, 2, model.size - 1))).toThrow(/range/)
        expect(() => volume.zero(io.set(buffer, 0, 2, model.size - 1))).toThrow(/range/)
      })

      it('completes a request exactly once and never during the call', async () => {
        let calls = 0
        const length = Math.min(512, model.size)
        await new Promise<void>((resolve) => {
          const io = new BlockIo(() => {
            calls++
            resolve()
          })
          volume.read(io.set(Buffer.alloc(length), 0, length, 0))
          expect(calls).toBe(0)
        })
        let flushed = 0
        await new Promise<void>((resolve) => {
          volume.flush(
            new BlockIo(() => {
              flushed++
              resolve()
            })
          )
          expect(flushed).toBe(0)
        })
        await turns()
        expect([calls, flushed]).toEqual([1, 1])
      })

      it('names extents that are never empty and that end inside', () => {
        for (let at = 0, n = 0; at < model.size && n < 1000; n++) {
          const extent = volume.extent(at, 1 << 20)
          assert(extent.length > 0 && extent.length <= 1 << 20, `${extent.length} bytes from ${at}`)
          at += extent.length
          assert(at <= model.size)
        }
      })

      it('reads zeroes from every extent that it calls deallocated', async () => {
        for (let at = 0, n = 0; at < model.size && n < 200; n++) {
          const extent = volume.extent(at, 1 << 20)
          if (!extent.mapped) expectSame(model.read(at, extent.length), Buffer.alloc(extent.length), at)
          if (!extent.mapped) await same(at, extent.length)
          at += extent.length
        }
      })

      it('can be flushed, several times at once', async () => {
        await Promise.all([flushVolume(volume), flushVolume(volume), flushVolume(volume)])
      })

      if (!traits.writable) readOnlyRows()
      else writableRows()

      function readOnlyRows(): void {
        it('refuses to write and to zero with EROFS and stays as it was', async () => {
          const buffer = Buffer.alloc(Math.min(512, model.size), 0xee)
          expect(codeOf(thrown(() => volume.tryWrite(buffer, 0, buffer.length, 0)))).toBe('EROFS')
          expect(codeOf(thrown(() => volume.tryZero(0, buffer.length, true)))).toBe('EROFS')
          for (const verb of ['write', 'zero'] as const) {
            const error = await failure((io) => volume[verb](io.set(buffer, 0, buffer.length, 0)))
            expect(codeOf(error)).toBe('EROFS')
          }
          await same(0, buffer.length)
        })

        it('reads many ranges at once', async () => {
          const random = new Random(seedOf(7))
          for (let round = 0; round < 20; round++) {
            await Promise.all(
              Array.from({ length: IN_FLIGHT }, () => {
                const [offset, length] = place(random, 0, model.size, traits.requestBytesMax ?? 20000)
                return same(offset, length)
              })
            )
          }
        })
      }

      function writableRows(): void {
        it('tells of every change before it, and of one that takes its time when it is over as well', async () => {
          const { offset } = range()
          const told: string[] = []
          volume.onChange = (at, length) => void told.push(`${at - offset}+${length}`)
          const buffer = Buffer.alloc(1024, 0xc3)
          volume.tryWrite(buffer, 0, 1024, offset + 512)
          volume.tryZero(offset, 512, true)
          volume.tryRead(Buffer.alloc(512), 0, 512, offset)
          expect(told).toEqual(['512+1024', '0+512'])
          const later = new Promise<readonly string[]>((resolve, reject) => {
            const io = new BlockIo((_io, error) => (error ? reject(error) : resolve([...told])))
            volume.write(io.set(buffer, 0, 1024, offset + 2048))
          })
          expect(told.slice(2)).toEqual(['2048+1024'])
          expect((await later).slice(2)).toEqual(['2048+1024', '2048+1024'])
          await settle((io) => volume.zero(io.set(Buffer.alloc(0), 0, 512, offset + 2048)))
          await flushVolume(volume)
          expect(told.slice(4)).toEqual(['2048+512', '2048+512'])
        })

        async function write(bytes: Buffer, offset: number): Promise<void> {
          model.write(bytes, offset)
          await writeVolume(volume, bytes, offset)
        }

        async function zero(offset: number, length: number, unmap: boolean): Promise<void> {
          model.zero(offset, length)
          await zeroVolume(volume, offset, length, unmap)
        }

        it('reads back what was written at both ends', async () => {
          const { offset, length } = range()
          const n = Math.min(700, length)
          await write(Buffer.alloc(n, 0x11), offset)
          await write(Buffer.alloc(n, 0x22), offset + length - n)
          await same(offset, n)
          await same(offset + length - n, n)
          await same(0, Math.min(model.size, 1 << 16))
        })

        it('writes from the given place of the buffer', async () => {
          const { offset, length } = range()
          const n = Math.min(600, length)
          const buffer = Buffer.concat([Buffer.alloc(40, 1), Buffer.alloc(n, 2), Buffer.alloc(40, 3)])
          await settle((io) => volume.write(io.set(buffer, 40, n, offset)))
          model.write(Buffer.alloc(n, 2), offset)
          await same(offset, Math.min(length, n + 100))
        })

        it('writes and zeroes no byte without harm', async () => {
          const { offset } = range()
          await write(Buffer.alloc(0), offset)
          await zero(offset, 0, true)
          await settle((io) => volume.write(io.set(Buffer.alloc(0), 0, 0, offset)))
          await same(0, Math.min(model.size, 8192))
        })

        for (const unmap of [false, true]) {
          for (const [title, at, length] of ZERO_ROWS) {
            it(`zeroes ${title} exactly, ${unmap ? 'with' : 'without'} giving the space back`, async () => {
              const { offset } = range()
              if (range().length < 40000) return expect(range().length).toBeLessThan(40000)
              await write(Buffer.alloc(40000, 0xcc), offset)
              await zero(offset + at, length, unmap)
              await same(offset, 40000)
            })
          }
        }

        it('keeps requests apart that are under way together', async () => {
          const random = new Random(seedOf(11))
          const lane = Math.floor(range().length / IN_FLIGHT)
          for (let round = 0; round < 15; round++) {
            const order = random.shuffle(Array.from({ length: IN_FLIGHT }, (_, i) => i))
            await Promise.all(
              order.map((i) => {
                const [offset, length] = place(random, range().offset + i * lane, lane, 12000)
                if (random.chance(0.3)) return same(offset, length)
                if (random.chance(0.3)) {
                  model.zero(offset, length)
                  const unmap = random.chance(0.5)
                  return settle((io) => {
                    io.set(Buffer.alloc(0), 0, length, offset).unmap = unmap
                    volume.zero(io)
                  })
                }
                const bytes = random.bytes(Buffer.alloc(length))
                model.write(bytes, offset)
                return settle((io) => volume.write(io.set(bytes, 0, length, offset)))
              })
            )
          }
          await compareAll(same, model)
        })

        const seed = seedOf(traits.seed ?? 20250101)
        it(`agrees with a plain array over random steps (seed ${seed})`, async () => {
          const random = new Random(seed)
          const limit = traits.requestBytesMax ?? 20000
          for (let step = 0; step < steps(traits.steps ?? 300); step++) {
            const [offset, length] = place(random, range().offset, range().length, limit)
            const dice = random.int(10)
            if (dice < 3) await same(offset, length)
            else if (dice < 5) await write(random.bytes(Buffer.alloc(length)), offset)
            else if (dice < 7) {
              const bytes = random.bytes(Buffer.alloc(length))
              model.write(bytes, offset)
              await settle((io) => volume.write(io.set(bytes, 0, length, offset)))
            } else if (dice < 9) await zero(offset, length, random.chance(0.5))
            else await flushVolume(volume)
          }
          await compareAll(same, model)
        })
      }
    })
  })
}

/** Title, first byte in the 40000 that are written, length. */
const ZERO_ROWS: readonly [string, number, number][] = [
  ['whole pages', 4096, 8192],
  ['part of one page', 4100, 17],
  ['one byte', 5000, 1],
  ['from inside a page to inside another', 3000, 20001],
  ['from inside a page to its end', 8000, 192],
  ['the start of a page', 8192, 100]
]

async function compareAll(same: (offset: number, length: number) => Promise<void>, model: SparseModel): Promise<void> {
  const step = 1 << 20
  const last = Math.min(model.size, 64 * step)
  for (let at = 0; at < last; at += step) await same(at, Math.min(step, model.size - at))
}

/** A random range; half of them aligned to 512 bytes, as initiators ask, where the room allows it. */
function place(random: Random, first: number, room: number, lengthMax: number): [number, number] {
  const longest = Math.min(lengthMax, room)
  if (random.chance(0.5) && room >= 512) {
    const blocks = 1 + random.int(Math.max(1, Math.floor(longest / 512) - 1))
    const start = Math.floor(random.int(room - blocks * 512 + 1) / 512) * 512
    return [first + start, blocks * 512]
  }
  const length = 1 + random.int(longest)
  return [first + random.int(room - length + 1), length]
}

function expectSame(found: Buffer, wanted: Buffer, offset: number): void {
  if (found.equals(wanted)) return
  let i = 0
  while (found[i] === wanted[i]) i++
  throw new Error(`byte ${offset + i} (${i} of ${wanted.length}) is ${found[i]}, should be ${wanted[i]}`)
}

/** Every verb once, in the forms that would succeed on an open volume; what became of each. */
async function tryEveryVerb(volume: Volume, writable: boolean): Promise<string[]> {
  const buffer = Buffer.alloc(512)
  const now: (() => boolean)[] = [() => volume.tryRead(buffer, 0, 512, 0)]
  const later: ((io: BlockIo) => void)[] = [(io) => volume.read(io.set(buffer, 0, 512, 0))]
  if (writable) {
    now.push(() => volume.tryWrite(buffer, 0, 512, 0))
    now.push(() => volume.tryZero(0, 512, false))
    later.push((io) => volume.write(io.set(buffer, 0, 512, 0)))
    later.push((io) => volume.zero(io.set(buffer, 0, 512, 0)))
    later.push((io) => volume.flush(io))
  }
  const outcomes = now.map((verb) => {
    try {
      return verb() ? 'done' : 'would block'
    } catch (error) {
      return codeOf(error)
    }
  })
  for (const verb of later) outcomes.push(await settle(verb).then(() => 'done', codeOf))
  return outcomes
}

export function settle(start: (io: BlockIo) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start(new BlockIo((_io, error) => (error ? reject(error) : resolve())))
  })
}

/** The error that a request ends with; a success is a failure of the spec. */
export function failure(start: (io: BlockIo) => void): Promise<Error> {
  return settle(start).then(
    () => {
      throw new Error('the request succeeded')
    },
    (error: Error) => error
  )
}

export function thrown(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** Lets everything that is due on the event loop happen. */
async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
