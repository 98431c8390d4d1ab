import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import {
  CAPACITY_CHANGED,
  INQUIRY_DATA_CHANGED,
  REPORTED_LUNS_CHANGED,
  type SenseCondition
} from '../../lib/scsi/sense.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { read10, write10 } from '../support/raw-commands.js'
import { NOTHING, TestTarget } from '../support/test-target.js'
import { WINDOWS_TARGET, WindowsPc } from '../support/windows-pc.js'

const SIZE = 8 * 1024 * 1024
const written = Buffer.alloc(4096, 0xa5)

/** What a Windows PC makes of changes of its disks: it hears of each once, looks, and goes on with what it was doing. */
describe('SAM-5 §5.14: a Windows PC that is told of a change', () => {
  let target: TestTarget
  let pc: WindowsPc
  let other: WindowsPc

  beforeEach(async () => {
    const volumes = [new MemoryVolume(SIZE), new MemoryVolume(2 * SIZE)]
    target = await TestTarget.start({ targets: [WINDOWS_TARGET], volumes })
    pc = await arrive('iqn.1991-05.com.microsoft:one')
    other = await arrive('iqn.1991-05.com.microsoft:two')
  })
  afterEach(async () => {
    // The rules of Windows throw where they are broken; nothing is left over.
    expect([pc.rules.open, other.rules.open]).toEqual([0, 0])
    await Promise.all([pc.leave(), other.leave()])
    expect(await target.stop()).toEqual(NOTHING)
  })

  /** It knows both disks, and has heard of the power on. */
  async function arrive(initiatorName: string): Promise<WindowsPc> {
    const made = await WindowsPc.login(target.port, { targetName: WINDOWS_TARGET, initiatorName })
    for (const lun of [0, 1]) await made.findDisk(lun)
    made.attentions.length = 0
    return made
  }

  const heard = (by: WindowsPc) => by.attentions.map(({ sense, lun }) => `${lun}: ${sense}`)
  const tell = (lun: number, condition: SenseCondition) => target.units[lun]!.establish(condition)

  it('reads the capacity again behind 2A/09, once, and its write is done', async () => {
    tell(0, CAPACITY_CHANGED)
    expect((await pc.command(write10(0, 8), { write: written })).status).toBe(0)
    expect(heard(pc)).toEqual(['0: 06/2a/09'])
    const [ten, sixteen] = pc.attentions[0]!.learnt
    expect([ten!.readUInt32BE(0), ten!.readUInt32BE(4)]).toEqual([SIZE / 512 - 1, 512])
    expect(sixteen!.readBigUInt64BE(0)).toBe(BigInt(SIZE / 512 - 1))
    expect((await pc.read(read10(0, 8), 4096)).equals(written)).toBe(true)
    expect(heard(pc)).toHaveLength(1)
    // Each nexus hears it itself, and the other disk has not changed.
    expect((await other.command(read10(0, 8), { read: 4096, lun: 1 })).status).toBe(0)
    expect(heard(other)).toEqual([])
    expect((await other.command(read10(0, 8), { read: 4096 })).status).toBe(0)
    expect(heard(other)).toEqual(['0: 06/2a/09'])
  })

  it('asks who the disk is behind 3F/03, which INQUIRY neither fails with nor takes away', async () => {
    const before = await pc.page(0x83, 255, 1)
    tell(1, INQUIRY_DATA_CHANGED)
    expect((await pc.initiator.command([0x12, 0, 0, 0, 36, 0], { read: 36, lun: 1 })).status).toBe(0)
    expect((await pc.command(write10(8, 8), { write: written, lun: 1 })).status).toBe(0)
    expect(heard(pc)).toEqual(['1: 06/3f/03'])
    const [standard, serial, identification] = pc.attentions[0]!.learnt
    expect([standard!.length, serial![1], identification!.equals(before)]).toEqual([36, 0x80, true])
  })

  it('lists the disks again behind 3F/0E, which is told by one disk alone then', async () => {
    for (const lun of [0, 1]) tell(lun, REPORTED_LUNS_CHANGED)
    expect((await pc.command(read10(0, 8), { read: 4096 })).status).toBe(0)
    expect((await pc.command(read10(0, 8), { read: 4096, lun: 1 })).status).toBe(0)
    expect(heard(pc)).toEqual(['0: 06/3f/0e'])
    expect(pc.attentions[0]!.learnt[0]!.readUInt32BE(0)).toBe(16)
  })

  it('hears of several changes one after the other, and its command is done behind all of them', async () => {
    for (const condition of [CAPACITY_CHANGED, INQUIRY_DATA_CHANGED, REPORTED_LUNS_CHANGED]) tell(0, condition)
    expect((await pc.command(write10(16, 8), { write: written })).status).toBe(0)
    expect(heard(pc).sort()).toEqual(['0: 06/2a/09', '0: 06/3f/03', '0: 06/3f/0e'])
  })
})
