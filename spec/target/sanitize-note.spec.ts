import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Nexus } from '../../lib/scsi/nexus.js'
import { SANITIZE_FAILED } from '../../lib/scsi/sense.js'
import { SanitizeNote } from '../../lib/target/sanitize-note.js'
import type { UnitOptions } from '../../lib/target/options.js'
import { LogRecorder } from '../support/log-recorder.js'
import { BASE_BYTE, LOGOUT, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

const unitOf = (nexus: Nexus) => nexus.units.get(0)!.unit
const notes = () => readdir(join(bench.state, 'sanitize'))
/** Many passes over 4 MiB: a second, of which nobody sees the end. */
const LONG = { block: Buffer.alloc(512, 0xee), passes: 31, invert: false }

async function started(unit: Partial<UnitOptions> = {}): Promise<void> {
  bench = await TargetBench.make()
  await bench.start({ targets: [bench.target({ units: [bench.unit({ allowSanitize: true, ...unit })] })] })
}

/** An operation that has changed something already. */
async function begun(mayExitFailure: boolean): Promise<Nexus> {
  const nexus = await bench.login()
  unitOf(nexus).startSanitize({ overwrite: LONG, mayExitFailure })
  while ((await bench.read(nexus, 0)) === BASE_BYTE) await new Promise((resolve) => setImmediate(resolve))
  return nexus
}

describe.each([
  ['a private disk', {}],
  ['a shared disk', { shared: true }]
])('a sanitize operation of %s', (_what, kind) => {
  it('counts as failed after a stop of the server that interrupted it, and leaves its way out open', async () => {
    await started(kind)
    await begun(true)
    await bench.start()
    const unit = unitOf(await bench.login())
    expect([unit.notReady, unit.sanitize?.mayExitFailure]).toEqual([SANITIZE_FAILED, true])
    await unit.exitSanitizeFailure()
    expect([unit.notReady, await notes()]).toEqual([undefined, []])
    await bench.start()
    expect(unitOf(await bench.login()).notReady).toBeUndefined()
  })

  it('leaves none open where it did not allow one, until another one has succeeded', async () => {
    await started(kind)
    await begun(false)
    await bench.start()
    await bench.start()
    const unit = unitOf(await bench.login())
    expect([unit.notReady, unit.sanitize?.mayExitFailure]).toEqual([SANITIZE_FAILED, false])
    await unit.startSanitize({ mayExitFailure: false }).ended
    expect([unit.notReady, await notes()]).toEqual([undefined, []])
  })

  it('leaves nothing behind when it succeeds', async () => {
    await started(kind)
    await unitOf(await bench.login()).startSanitize({ mayExitFailure: true }).ended
    expect(await notes()).toEqual([])
    await bench.start()
    expect(unitOf(await bench.login()).notReady).toBeUndefined()
  })
})

describe('a note of a sanitize operation', () => {
  it('means nothing any more when the delta that was wiped has been dropped', async () => {
    await started()
    await bench.end(await begun(false), LOGOUT)
    await bench.settled()
    const nexus = await bench.login()
    expect([unitOf(nexus).notReady, await bench.read(nexus, 0), await notes()]).toEqual([undefined, BASE_BYTE, []])
  })

  it('that is damaged counts as one of a failure, which may be left, and is told', async () => {
    await started()
    await begun(false)
    await bench.stop()
    const [name] = await notes()
    const path = join(bench.state, 'sanitize', name!)
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ version: 1, epoch: 1, mayExitFailure: false })
    await writeFile(path, '{')
    const log = new LogRecorder()
    expect(await new SanitizeNote(path, 1).interrupted(log)).toEqual({ mayExitFailure: true })
    expect(log.lines.join('\n')).toMatch(/counts as failed/)
  })
})
