import { describe, expect, it } from '@jest/globals'
import { HolePuncher, type PunchHole } from '../../../lib/volume/delta/hole-puncher.js'
import { Slots } from '../../../lib/volume/delta/slots.js'

const CHUNK = 4096
/** Slots of the shortest hole. */
const GROUP = 16

/** Slots, of which ranges come free as they do behind a flush. */
class Bench {
  readonly slots = new Slots()
  readonly holes: [number, number][] = []
  private onHole = (): void => undefined
  failing = false

  readonly punch: PunchHole = (fd, position, length) => {
    expect(fd).toBe(77)
    this.holes.push([position / CHUNK, length / CHUNK])
    this.onHole()
    return this.failing ? Promise.reject(new Error('not here')) : Promise.resolve()
  }

  readonly puncher: HolePuncher

  constructor(taken: number) {
    this.puncher = new HolePuncher(77, this.slots, CHUNK, this.punch, GROUP * CHUNK, 0)
    this.slots.take(taken)
  }

  free(slot: number, count: number): void {
    this.slots.free(slot, count)
    this.slots.commit()
    this.slots.seal()
    this.slots.unseal(true)
  }

  /** Resolves when all holes are made that there will be. */
  async made(): Promise<[number, number][]> {
    this.puncher.wake()
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0))
    return this.holes
  }
}

describe('holes in a slot file', () => {
  it('are made of whole groups that are free', async () => {
    const bench = new Bench(20 * GROUP)
    bench.free(GROUP - 3, 4 * GROUP)
    expect(await bench.made()).toEqual([[GROUP, 3 * GROUP]])
  })

  it('are found with the last slot of a group that comes free one by one', async () => {
    const bench = new Bench(4 * GROUP)
    for (let slot = GROUP; slot < 2 * GROUP - 1; slot++) bench.free(slot, 1)
    expect(await bench.made()).toEqual([])
    bench.free(2 * GROUP - 1, 1)
    expect(await bench.made()).toEqual([[GROUP, GROUP]])
  })

  it('are made in pieces of 4 MiB', async () => {
    const bench = new Bench(5000)
    bench.free(0, 3000)
    expect(await bench.made()).toEqual([
      [0, 1024],
      [1024, 1024],
      [2048, 2992 - 2048]
    ])
  })

  it('are given to nobody while they are made, and to everybody then', async () => {
    const bench = new Bench(2 * GROUP)
    let during = -1
    Object.assign(bench, { onHole: () => (during = bench.slots.take(GROUP)) })
    bench.free(0, GROUP)
    await bench.made()
    expect(during).toBe(2 * GROUP)
    expect(bench.slots.take(GROUP)).toBe(0)
    expect(bench.slots.usedCount).toBe(3 * GROUP)
  })

  it('are not made of slots that were taken again meanwhile', async () => {
    const bench = new Bench(4 * GROUP)
    bench.free(0, 2 * GROUP)
    expect(bench.slots.take(GROUP)).toBe(0)
    expect(await bench.made()).toEqual([[GROUP, GROUP]])
  })

  it('are asked for no more when the file system cannot make them', async () => {
    const bench = new Bench(4 * GROUP)
    bench.failing = true
    bench.free(0, GROUP)
    await bench.made()
    bench.free(GROUP, GROUP)
    expect(await bench.made()).toEqual([[0, GROUP]])
    expect(bench.slots.take(2 * GROUP)).toBe(0)
  })

  it('are made of what was free when the delta was opened, behind the first barrier', async () => {
    const bench = new Bench(0)
    bench.slots.claim(3 * GROUP, GROUP)
    bench.slots.keepHoles(6 * GROUP)
    bench.slots.vacateHoles()
    expect(await bench.made()).toEqual([])
    bench.slots.unseal(true)
    expect(await bench.made()).toEqual([
      [0, 3 * GROUP],
      [4 * GROUP, 2 * GROUP]
    ])
  })

  it('ends before the file is closed', async () => {
    const bench = new Bench(4 * GROUP)
    bench.free(0, 2 * GROUP)
    bench.puncher.wake()
    await bench.puncher.stop()
    expect(await bench.made()).toEqual([])
  })
})
