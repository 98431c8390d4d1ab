import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { codeOf } from '../../../lib/util/errors.js'
import { gptDisk } from '../../support/disks.js'
import { BOB, LOGOUT, TARGET, TargetBench } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'
const AUTHOR = { initiators: [{ match: STUDIO, policy: 'author' as const }] }
const MIB = 1 << 20

let bench: TargetBench
beforeEach(async () => {
  bench = await TargetBench.make({}, AUTHOR)
})
afterEach(() => bench.remove())

const as = (initiatorName: string) => ({ initiatorName })
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const control = () => bench.server!.control

describe('a delta', () => {
  it('is published while its owner is an author, and stays with it otherwise', async () => {
    await bench.start()
    await bench.visit(0x11, LOGOUT, as(STUDIO))
    await bench.start({ targets: [bench.target({ initiators: [] })] })
    expect(await failure(control().publish({ author: STUDIO }))).toBe('ERR_ISCSI_PUBLISH_NOTHING')
    await bench.start({ targets: [bench.target(AUTHOR)] })
    await control().publish({ author: STUDIO })
    expect((await control().images())[0]!.current).toBe(1)
  })

  it('is published whole where its author sees one partition, and others see that partition of it', async () => {
    const disk = gptDisk()
    await writeFile(bench.image, disk)
    await bench.start({ targets: [bench.target({ ...AUTHOR, units: [bench.unit({ partition: 1 })] })] })
    const author = await bench.login(as(STUDIO))
    const before = await bench.read(author, MIB)
    await bench.write(author, MIB, 0x33)
    expect(await bench.read(author, MIB)).toBe(0x33)
    await bench.end(author, LOGOUT)
    const other = await bench.login(as(BOB))
    await control().publish({})
    expect(await bench.read(other, MIB)).toBe(before)
    await bench.end(other, LOGOUT)
    const newer = await bench.login(as(BOB))
    expect(await bench.read(newer, MIB)).toBe(0x33)
    await bench.end(newer, LOGOUT)
    const [view] = await control().images()
    expect(view!.generations[1]).toMatchObject({ size: disk.length, layerBytes: 4096 })
  })

  it('that was written over one partition is none of the whole image', async () => {
    await writeFile(bench.image, gptDisk())
    const units = [bench.unit({ partition: 1 })]
    await bench.start({ targets: [bench.target({ initiators: [], units })] })
    await bench.visit(0x44, { kind: 'lost', cause: 'silence' }, as(STUDIO))
    await bench.start({ targets: [bench.target({ ...AUTHOR, units })] })
    expect(await failure(control().publish({ force: true }))).toBe('ERR_ISCSI_PUBLISH_POLICY')
    // Its content means something else there, so it is lost, and not in silence.
    const nexus = await bench.login(as(STUDIO))
    expect(nexus.units.get(0)!.fenced).toBe(true)
    expect(bench.log.with('written under another policy')).toHaveLength(1)
  })

  it('stays where it is when its target keeps its state elsewhere than the image', async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), 'cloudx-elsewhere-'))
    const other = join(elsewhere, 'other.img')
    await writeFile(other, Buffer.alloc(MIB))
    const name = 'iqn.2010-04.local.cloudx:second'
    const units = [bench.unit({ path: other }), bench.unit({ lun: 1 })]
    await bench.start({ targets: [bench.target(), bench.target({ ...AUTHOR, name, units })] })
    const nexus = await bench.login({ ...as(STUDIO), targetName: name })
    await bench.write(nexus, 0, 1)
    await bench.end(nexus, LOGOUT)
    const { publish } = { publish: (image: string) => control().publish({ image }) }
    expect(await failure(publish(other))).toBe('done')
    expect(await failure(publish(bench.image))).toBe('ERR_ISCSI_PUBLISH_NOTHING')
    expect(TARGET).not.toBe(name)
    await bench.stop()
    await rm(elsewhere, { recursive: true })
  })
})
