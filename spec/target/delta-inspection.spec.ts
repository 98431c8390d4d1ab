import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { CopyPart, ExportOrder } from '../../lib/target/control.js'
import { AREA_COUNT_MAX } from '../../lib/target/delta-inspection.js'
import { DeltaReadings } from '../../lib/target/delta-reading.js'
import { codeOf } from '../../lib/util/errors.js'
import {
  ALICE,
  BASE_BYTE,
  BOB,
  HOUR_MS,
  IMAGE_BYTES,
  LOGOUT,
  SILENCE,
  TARGET,
  TargetBench
} from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(): Promise<void> {
  bench = await TargetBench.make()
  await bench.start()
}
const control = () => bench.server!.control

async function copied(order: Partial<ExportOrder> = {}): Promise<Buffer> {
  let copy = Buffer.alloc(0)
  for await (const part of control().exportDelta({ initiator: ALICE, ...order })) {
    if (part.kind === 'size') copy = Buffer.alloc(part.lengthBytes)
    if (part.kind === 'data') part.bytes.copy(copy, part.offset)
  }
  return copy
}
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

describe('show', () => {
  it('tells what a client has written, where, and how fast it grows', async () => {
    await started()
    const nexus = await bench.login()
    await bench.write(nexus, 8192, 0xaa)
    bench.clock.advance(30_000)
    await bench.write(nexus, 65536, 0xbb, 16384)
    bench.clock.advance(30_000)
    expect(await control().show({ initiator: ALICE.toUpperCase() })).toEqual({
      targetName: TARGET,
      initiatorName: ALICE,
      sessions: 1,
      units: [
        {
          lun: 0,
          size: IMAGE_BYTES,
          bytesStored: 20480,
          // 16 KiB for the first leaves, 4 bytes of directory, a counter of 2 bytes for twice as many leaves.
          mapBytes: 16404,
          changedBytes: 20480,
          growthBytesPerMinute: 20480,
          keeping: 'logout',
          areas: [
            { offset: 8192, lengthBytes: 4096, changedBytes: 4096 },
            { offset: 65536, lengthBytes: 16384, changedBytes: 16384 }
          ]
        }
      ]
    })
  })

  it('looks into a delta that has not been opened since the start', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.start()
    const { sessions, units } = await control().show({ initiator: ALICE })
    expect([sessions, units]).toMatchObject([0, [{ lun: 0, bytesStored: 4096, growthBytesPerMinute: undefined }]])
  })

  it('bounds the areas that it tells', async () => {
    await started()
    const nexus = await bench.login()
    for (let offset = 0; offset < IMAGE_BYTES; offset += 8192) await bench.write(nexus, offset, 0xaa)
    const [unit] = (await control().show({ initiator: ALICE })).units
    expect(unit!.areas.length).toBeLessThanOrEqual(AREA_COUNT_MAX)
    expect(unit!.changedBytes).toBe(IMAGE_BYTES / 2)
  })

  it('names a client that may be meant', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await expect(control().show({ initiator: `${ALICE}e` })).rejects.toThrow(`did you mean ${ALICE}?`)
  })
})

describe('exportDelta', () => {
  const written = (fill: number) => Buffer.alloc(IMAGE_BYTES, BASE_BYTE).fill(fill, 0, 4096)

  it('gives the disk as its client left it, open or not', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.settled()
    expect((await copied()).equals(written(0xaa))).toBe(true)
    await bench.start()
    expect((await copied()).equals(written(0xaa))).toBe(true)
  })

  it('gives what the last restore dropped, as long as it is in the bin', async () => {
    await started()
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    await bench.visit(0xbb, LOGOUT)
    await bench.settled()
    expect((await copied({ bin: true })).equals(written(0xbb))).toBe(true)
    bench.clock.advance(2 * HOUR_MS)
    await bench.settled()
    expect(await failure(copied({ bin: true }))).toBe('ERR_ISCSI_UNDO_NOTHING')
  })

  it('holds its place in the bin while it is read, and nobody undoes it meanwhile', async () => {
    await started()
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    const parts = control().exportDelta({ initiator: ALICE, bin: true })
    const copy = Buffer.alloc(IMAGE_BYTES)
    await parts.next()
    bench.clock.advance(2 * HOUR_MS)
    await bench.settled()
    expect(await failure(control().undo({ initiator: ALICE }))).not.toBe('done')
    for await (const part of parts as AsyncIterable<CopyPart>) {
      if (part.kind === 'data') part.bytes.copy(copy, part.offset)
    }
    expect(copy.equals(written(0xaa))).toBe(true)
    await bench.settled()
    expect(await readdir(join(bench.state, 'bin'))).toEqual([])
  })

  it('refuses a disk in use, unless a copy of no one moment will do', async () => {
    await started()
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    expect(await failure(copied())).toBe('ERR_ISCSI_DELTA_LIVE')
    expect((await copied({ live: true })).equals(written(0xaa))).toBe(true)
  })

  it('ends with an error when the client comes in the middle', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    const parts = control().exportDelta({ initiator: ALICE })
    await parts.next()
    await bench.login()
    const rest = async () => {
      for await (const part of parts) expect(part.kind).not.toBe('size')
    }
    expect(await failure(rest())).toBe('ERR_ISCSI_DELTA_LIVE')
  })

  it.each<[Partial<ExportOrder>, string]>([
    [{ lun: 3 }, 'ERR_ISCSI_DELTA_LUN'],
    [{ initiator: BOB }, 'ERR_ISCSI_DELTA_NOTHING'],
    [{ initiator: 'pc 7' }, 'ERR_ISCSI_NAME']
  ])('is refused when there is nothing: %j', async (order, code) => {
    await started()
    await bench.visit(0xaa, SILENCE)
    expect(await failure(copied(order))).toBe(code)
  })
})

describe('DeltaReadings', () => {
  it('knows no disk that is not private', async () => {
    await started()
    const context = { sources: [], bin: { list: () => [], hold: () => undefined } }
    const readings = new DeltaReadings({ context, record: { units: [] }, targetName: TARGET } as never)
    expect(readings.luns).toEqual([])
    expect(await failure(readings.current(0))).toBe('ERR_ISCSI_DELTA_LUN')
    expect(await failure(readings.binned('1-0'))).toBe('ERR_ISCSI_DELTA_NOTHING')
  })
})
