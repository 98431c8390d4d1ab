import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
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

  it('knows no generations of a shared disk', async () => {
    await bench.start({ targets: [bench.target({ units: [bench.unit({ shared: true })] })] })
    expect(await control().images()).toEqual([])
    expect(await failure(control().rollback({}))).toBe('ERR_ISCSI_IMAGE_UNKNOWN')
  })
})
