import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultPlan, FaultVolume } from '../../lib/volume/layers/fault.js'
import { Overlay } from '../../lib/volume/layers/overlay.js'
import type { Volume } from '../../lib/volume/volume.js'
import { BLOCK, read10, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

/**
 * A request that takes ten seconds, or for ever: it is held until the spec lets it go, and what others get meanwhile
 * they get before. So nothing here looks at a clock.
 */
const SIZE = 1 << 20
const HELD = 32
const ROUNDS = 50

let directory: string
let target: TestTarget
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stalled-'))
})
afterEach(async () => {
  expect(await target.stop()).toEqual(NOTHING)
  rmSync(directory, { recursive: true })
})

/** An overlay of this initiator over a base that all share; the faults strike in the base, or in what is its own. */
function overlayOf(initiatorName: string, base: Volume, faults: FaultPlan | undefined): Volume {
  const name = initiatorName.split(':')[1]!
  const overlay = new Overlay({
    base,
    delta: {
      directory,
      name,
      base: { uuid: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff', generation: 0, size: SIZE, mtimeNs: 0n, inode: 0n },
      owner: { target: TARGET_NAME, initiator: initiatorName, lun: 0, chapUser: '' },
      incarnation: 1
    }
  })
  return faults ? new FaultVolume(overlay, faults) : overlay
}

const login = (name: string) =>
  ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, initiatorName: `iqn.2010-04.org.example:${name}` })

/** NOPs, reads of the base, writes and reads of the delta, one after the other. */
async function work(initiator: ScriptedInitiator): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const data = Buffer.alloc(8 * BLOCK, round)
    expect((await initiator.nop(Buffer.from('here'))).data.toString()).toBe('here')
    expect((await initiator.command(read10(8, 8), { read: data.length })).data.equals(cold)).toBe(true)
    expect((await initiator.command(write10(1024, 8), { write: data })).status).toBe(0)
    expect((await initiator.command(read10(1024, 8), { read: data.length })).data.equals(data)).toBe(true)
  }
}
const cold = Buffer.alloc(8 * BLOCK, 0x61)

describe('while the disk does not answer one client', () => {
  it('holding its reads of the base, NOPs, reads and writes of others are answered', async () => {
    const faults = new FaultPlan()
    const base = new FaultVolume(new MemoryVolume(SIZE, false, Buffer.alloc(SIZE, 0x61)), faults)
    await base.open()
    target = await TestTarget.start({ privateVolumes: (name) => [overlayOf(name, base, undefined)] })
    const [unlucky, other] = [await login('unlucky'), await login('other')]
    // Only what lies behind the first half is slow; the other client reads in front of it.
    faults.add({ verb: 'read', range: { offset: SIZE / 2 + 65536, length: SIZE }, effect: { kind: 'hold' } })
    let answers = 0
    const reads = Array.from({ length: HELD }, async (_, index) => {
      const { data } = await unlucky.command(read10(1280 + index * 8, 8), { read: cold.length })
      answers++
      return data
    })
    await target.until(() => faults.held > 0)
    await work(other)
    // The client itself is heard as well.
    expect((await unlucky.nop(Buffer.from('waiting'))).data.toString()).toBe('waiting')
    await work(await login('newcomer'))
    expect(answers).toBe(0)
    faults.clear()
    faults.releaseAll()
    expect((await Promise.all(reads)).every((data) => data.equals(cold))).toBe(true)
    await base.close()
  })

  it('holding its writes and flushes, NOPs, reads and writes of others are answered', async () => {
    const faults = new FaultPlan()
    const base = new MemoryVolume(SIZE, false, Buffer.alloc(SIZE, 0x61))
    await base.open()
    target = await TestTarget.start({
      privateVolumes: (name) => [overlayOf(name, base, name.endsWith('unlucky') ? faults : undefined)]
    })
    const [unlucky, other] = [await login('unlucky'), await login('other')]
    faults.add({ verb: 'write', effect: { kind: 'hold' } }).add({ verb: 'flush', effect: { kind: 'hold' } })
    let answers = 0
    const writes = Array.from({ length: HELD }, async (_, index) => {
      const { status } = await unlucky.command(write10(index * 8, 8), { write: Buffer.alloc(8 * BLOCK, index) })
      answers++
      return status
    })
    await target.until(() => faults.held === HELD)
    await work(other)
    expect((await unlucky.nop(Buffer.from('waiting'))).data.toString()).toBe('waiting')
    await work(await login('newcomer'))
    expect(answers).toBe(0)
    faults.clear()
    faults.releaseAll()
    expect(await Promise.all(writes)).toEqual(Array.from({ length: HELD }, () => 0))
    await base.close()
  })
})
