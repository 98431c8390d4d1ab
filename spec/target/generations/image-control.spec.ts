import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { ImageExportOrder, ImageView } from '../../../lib/target/control.js'
import { codeOf } from '../../../lib/util/errors.js'
import { ALICE, BOB, IMAGE_BYTES, LOGOUT, SILENCE, TARGET, TargetBench } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'

let bench: TargetBench
let second: string
beforeEach(async () => {
  bench = await TargetBench.make({}, { initiators: [{ match: STUDIO, policy: 'author' }] })
  second = join(bench.directory, 'second.img')
  await writeFile(second, Buffer.alloc(IMAGE_BYTES))
})
afterEach(() => bench.remove())

const control = () => bench.server!.control
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

describe('the control of images', () => {
  it('shows who is on which generation, and what is kept for whom', async () => {
    await bench.start()
    await bench.visit(0x11, LOGOUT, { initiatorName: STUDIO })
    await bench.login()
    await bench.visit(0x22, SILENCE, { initiatorName: BOB })
    await bench.visit(0x33, LOGOUT, { initiatorName: `${BOB}-2` })
    await control().publish({})
    const [image] = await control().images()
    const names = { targetName: TARGET }
    expect(image!.generations[0]!.users).toEqual([
      { ...names, initiatorName: ALICE, kind: 'session', bytes: 0 },
      { ...names, initiatorName: BOB, kind: 'kept', bytes: 4096 },
      { ...names, initiatorName: `${BOB}-2`, kind: 'bin', bytes: 4096 }
    ])
    expect(image!.generations[1]!.users).toEqual([])
  })

  it('wants to know which image is meant when there are several', async () => {
    await bench.start({ targets: [bench.target({ units: [bench.unit(), bench.unit({ lun: 1, path: second })] })] })
    const nexus = await bench.login({ initiatorName: STUDIO })
    await bench.write(nexus, 0, 1)
    await bench.end(nexus, LOGOUT)
    expect(await failure(control().publish({}))).toBe('ERR_ISCSI_IMAGE_WHICH')
    expect(await failure(control().publish({ image: '/no.img' }))).toBe('ERR_ISCSI_IMAGE_UNKNOWN')
    expect(await failure(control().publish({ image: second }))).toBe('ERR_ISCSI_PUBLISH_NOTHING')
    const [first] = await control().images()
    expect((await control().publish({ image: first!.uuid })).current).toBe(1)
    expect((await control().rollback({ image: bench.image })).current).toBe(0)
  })

  /** What a copy has: `size`, and offset and first byte of each piece. */
  async function copied(order: ImageExportOrder): Promise<number[][]> {
    const found: number[][] = []
    for await (const part of control().exportImage(order)) {
      if (part.kind === 'size') found.push([part.lengthBytes])
      if (part.kind === 'data') found.push([part.offset, part.bytes.length, part.bytes[0]!])
    }
    return found
  }

  it('copies what may differ from an older generation, each MiB whole, and from there on', async () => {
    await bench.start()
    const MIB = 1 << 20
    for (const [fill, offset] of [
      [0x11, MIB],
      [0, 3 * MIB]
    ] as const) {
      const nexus = await bench.login({ initiatorName: STUDIO })
      await bench.write(nexus, offset, fill, fill === 0 ? MIB : 4096)
      await bench.end(nexus, LOGOUT)
      await control().publish({})
    }
    expect(await copied({ since: 0 })).toEqual([[IMAGE_BYTES], [MIB, MIB, 0x11], [3 * MIB, MIB, 0]])
    expect(await copied({ since: 0, generation: 1 })).toEqual([[IMAGE_BYTES], [MIB, MIB, 0x11]])
    expect(await copied({ since: 1 })).toEqual([[IMAGE_BYTES], [3 * MIB, MIB, 0]])
    expect(await copied({ since: 0, fromBytes: 2 * MIB })).toEqual([[IMAGE_BYTES], [3 * MIB, MIB, 0]])
    expect((await copied({ fromBytes: 3 * MIB }))[1]).toEqual(undefined)
    await control().grow({ sizeBytes: IMAGE_BYTES + MIB })
    expect(await copied({ since: 2 })).toEqual([[IMAGE_BYTES + MIB], [IMAGE_BYTES, MIB, 0]])
    expect(await failure(copied({ since: 2, generation: 1 }))).toBe('ERR_ISCSI_COPY')
    expect(await failure(copied({ since: 7 }))).toBe('ERR_ISCSI_GENERATION_UNKNOWN')
    expect(await failure(copied({ fromBytes: 512 }))).toBe('ERR_ISCSI_COPY')
  })

  it('has no hash tree of a generation that was merged and cannot be shown any more', async () => {
    await bench.start()
    await control().verify({})
    await bench.settled()
    const [{ uuid }] = (await control().images()) as [ImageView]
    const trees = async () =>
      (await readdir(join(bench.state, 'generations', uuid))).filter((name) => name.endsWith('.hash'))
    await bench.visit(0x11, LOGOUT, { initiatorName: STUDIO })
    await control().publish({})
    await bench.settled()
    expect(await trees()).toEqual(['0000.hash', '0001.hash'])
    await control().flatten({})
    await bench.settled()
    expect(await trees()).toEqual(['0001.hash'])
    // One that a crash left goes at the next start.
    await bench.stop()
    await writeFile(join(bench.state, 'generations', uuid, '0000.hash'), '')
    await bench.start()
    expect(await trees()).toEqual(['0001.hash'])
    await control().verify({})
    await bench.settled()
    expect((await control().jobs()).at(-1)).toMatchObject({ state: 'done' })
  })

  it('knows no generations of a shared disk', async () => {
    await bench.start({ targets: [bench.target({ units: [bench.unit({ shared: true })] })] })
    expect(await control().images()).toEqual([])
    expect(await failure(control().rollback({}))).toBe('ERR_ISCSI_IMAGE_UNKNOWN')
  })
})
