import { describe, expect, it } from '@jest/globals'
import { FakeVolume, Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

const CONDITION_MET = 4

function cdbOf(form: 10 | 16, lba: number | bigint, blocks: number, flags = 0): string {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  if (form === 10) return `34 ${h(flags, 2)} ${h(lba, 8)} 03 ${h(blocks, 4)} 00`
  return `90 ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 03 00`
}

describe.each([10, 16] as const)('PRE-FETCH(%d)', (form) => {
  const host = new Host()

  it.each([
    [0, 8, 'read 0+4096'],
    [1016, 8, 'read 520192+4096'],
    [1016, 0, 'read 520192+4096']
  ])('reads LBA %d and %d blocks, and the condition is met', async (lba, blocks, call) => {
    const unit = makeUnit()
    const result = await host.execute(makeNexus([unit]), cdbOf(form, lba, blocks))
    expect(result).toMatchObject({ status: CONDITION_MET, hex: '' })
    expect(unit.volume.calls).toEqual([call])
  })

  it('fetches a part of what is too much, and is good', async () => {
    const volume = new FakeVolume(17 * 1024 * 1024)
    const result = await host.execute(makeNexus([makeUnit({ volume })]), cdbOf(form, 0, 0))
    expect(result.status).toBe(0)
    expect(volume.calls).toHaveLength(64)
  })

  it('is good at once with IMMED', async () => {
    const unit = makeUnit()
    expect((await host.execute(makeNexus([unit]), cdbOf(form, 0, 8, 2))).status).toBe(0)
    expect(unit.volume.calls).toEqual([])
  })

  it('fails when the disk does', async () => {
    const unit = makeUnit()
    unit.volume.broken.set('read', 'EIO')
    expect((await host.execute(makeNexus([unit]), cdbOf(form, 0, 8))).sense).toBe('03/11/00')
  })

  it.each([
    [1025, 0],
    [1024, 1],
    [1023, 2],
    [0xffffffff, 1]
  ])('refuses LBA %d and %d blocks', async (lba, blocks) => {
    expect((await host.execute(makeNexus([makeUnit()]), cdbOf(form, lba, blocks))).sense).toBe(Sense.LbaOutOfRange)
  })
})
