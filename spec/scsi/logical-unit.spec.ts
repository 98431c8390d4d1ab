import { describe, expect, it, jest } from '@jest/globals'
import { CAPACITY_CHANGED, POWER_ON, TOKEN_CANCELLED } from '../../lib/scsi/sense.js'
import { FakeVolume, Host, makeNexus, makeUnit } from '../support/scsi.js'

describe('a logical unit', () => {
  it.each([
    [0, 0, true],
    [0, 1024, true],
    [1023, 1, true],
    [1024, 0, true],
    [1024, 1, false],
    [0, 1025, false],
    [0xffffffff, 1, false],
    [2 ** 64, 0, false],
    [2 ** 64, 0xffffffff, false]
  ])('of 1024 blocks covers [%d, +%d): %s', (lba, blocks, expected) => {
    expect(makeUnit().covers(lba, blocks)).toBe(expected)
  })

  it('leaves a block out that is not there as a whole', () => {
    expect(makeUnit({ volume: new FakeVolume(5000), blockSize: 4096 }).blockCount).toBe(1)
  })

  it.each([
    [undefined, 512, 4096],
    [16384, 512, 16384],
    [512, 4096, 4096]
  ])('allocates %d bytes with blocks of %d as %d', (allocationBytes, blockSize, expected) => {
    const unit = makeUnit({ blockSize, ...(allocationBytes === undefined ? {} : { allocationBytes }) })
    expect(unit.allocationBytes).toBe(expected)
  })

  it('is write protected by its kind or by its client', () => {
    const unit = makeUnit()
    expect(unit.writeProtected).toBe(false)
    unit.softwareWriteProtect = true
    expect(unit.writeProtected).toBe(true)
    expect(makeUnit({ readOnly: true }).writeProtected).toBe(true)
  })

  it('tells its nexuses, all but one, or one by its name', () => {
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    const [first, second] = [one.units.get(0)!, two.units.get(0)!]
    unit.establish(CAPACITY_CHANGED, one)
    expect([first.attention, second.attention]).toEqual([undefined, CAPACITY_CHANGED])
    unit.establishFor(one.id, POWER_ON)
    expect([first.attention, second.attention]).toEqual([POWER_ON, CAPACITY_CHANGED])
  })

  it('tells its nexuses when it becomes larger, once, and covers what is new', () => {
    const unit = makeUnit()
    const entry = makeNexus([unit]).units.get(0)!
    const larger = new FakeVolume(2048 * 512)
    unit.enlarge(larger)
    unit.enlarge(larger)
    expect([unit.blockCount, unit.covers(2047, 1), unit.covers(2048, 1)]).toEqual([2048, true, false])
    expect([entry.takeAttention(), entry.takeAttention()]).toEqual([CAPACITY_CHANGED, undefined])
  })

  it('is silent about another volume of the same size', () => {
    const unit = makeUnit()
    const entry = makeNexus([unit]).units.get(0)!
    const same = new FakeVolume(1024 * 512)
    unit.enlarge(same)
    expect([unit.volume, entry.attention]).toEqual([same, undefined])
  })

  it('lets a token fall with a write to the volume that it has now', () => {
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    const range = { offset: 4096, length: 4096 }
    const token = unit.tokens.create(nexus, [range], 0x00800001, 60)
    const behind = unit.tokens.create(nexus, [{ ...range, offset: 65536 }], 0x00800001, 60)
    const larger = new FakeVolume(2048 * 512)
    unit.enlarge(larger)
    expect(token.fault).toBeUndefined()
    larger.tryWrite(Buffer.alloc(512), 0, 512, 4096)
    expect([token.fault, behind.fault]).toEqual([TOKEN_CANCELLED, undefined])
  })

  it('still lets one fall with a write that was under way when it became larger', () => {
    const unit = makeUnit()
    const before = unit.volume
    const token = unit.tokens.create(makeNexus([unit]), [{ offset: 4096, length: 4096 }], 0x00800001, 60)
    unit.enlarge(new FakeVolume(2048 * 512))
    before.tryWrite(Buffer.alloc(512), 0, 512, 4096)
    expect(token.fault).toBe(TOKEN_CANCELLED)
  })

  it('flushes in the background the volume that it has now', () => {
    const unit = makeUnit()
    const larger = new FakeVolume(2048 * 512)
    unit.enlarge(larger)
    unit.backgroundFlush.request()
    expect(larger.calls).toEqual(['flush'])
  })

  it('has its first modes and no RESERVE after a reset', () => {
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    Object.assign(unit, { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true })
    expect(unit.reservations.reserve(one)).toBe(true)
    unit.reset()
    expect(unit).toMatchObject({ writeCacheEnabled: true, descriptorSense: false, softwareWriteProtect: false })
    expect(unit.reservations.reserve(two)).toBe(true)
  })

  it('passes errors of its volume to whoever wants them', () => {
    const onVolumeError = jest.fn()
    const unit = makeUnit({ onVolumeError })
    const task = new Host().make(makeNexus([unit]), '00')
    unit.volumeFailed('why', task)
    expect(onVolumeError).toHaveBeenCalledWith('why', task)
    makeUnit().volumeFailed('nobody listens', task)
  })
})
