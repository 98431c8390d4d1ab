import { describe, expect, it } from '@jest/globals'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

const FORMS = [10, 12, 16] as const

function cdbOf(form: (typeof FORMS)[number], lba: number, blocks: number, flags = 0): string {
  const h = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  if (form === 10) return `2e ${h(flags, 2)} ${h(lba, 8)} 00 ${h(blocks, 4)} 00`
  if (form === 12) return `ae ${h(flags, 2)} ${h(lba, 8)} ${h(blocks, 8)} 00 00`
  return `8e ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 00 00`
}

/** A disk that returns other bytes than were written. */
class LyingVolume extends FakeVolume {
  protected override _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (!super._tryWrite(buffer, start, length, offset)) return false
    this.bytes[offset + length - 1]! ^= 1
    return true
  }
}

describe.each(FORMS)('WRITE AND VERIFY(%d)', (form) => {
  const dataOut = new Random(4).bytes(Buffer.alloc(4096))

  it.each([
    [0x00, false],
    [0x00, true],
    [0x02, false],
    [0x02, true]
  ])('writes, verifies and makes durable: flags %d, slow disk: %s', async (flags, refusing) => {
    const unit = makeUnit()
    const { volume } = unit
    volume.refusing = refusing
    const result = await new Host().execute(makeNexus([unit]), cdbOf(form, 2, 8, flags), { dataOut, pieceLength: 700 })
    expect(result.status).toBe(0)
    expect(volume.bytes.subarray(1024, 1024 + 4096).equals(dataOut)).toBe(true)
    expect(volume.bytes.subarray(1024 + 4096).every((byte) => byte === 0)).toBe(true)
    expect(volume.calls.filter((call) => call.startsWith('read')).length).toBeGreaterThan(0)
    expect(volume.calls.at(-1)).toBe('flush')
  })

  it('finds a disk that returns other bytes, with BYTCHK 1', async () => {
    const unit = makeUnit({ volume: new LyingVolume(1024 * 512) })
    const result = await new Host().execute(makeNexus([unit]), cdbOf(form, 2, 8, 0x02), { dataOut })
    expect(result.sense).toBe(Sense.Miscompare)
  })

  it.each([
    ['write', '03/0c/00'],
    ['read', '03/0c/00'],
    ['flush', '03/0c/00']
  ])('fails when the %s does', async (verb, sense) => {
    const unit = makeUnit()
    unit.volume.broken.set(verb, 'EIO')
    const result = await new Host().execute(makeNexus([unit]), cdbOf(form, 2, 8, 0x02), { dataOut })
    expect(result.sense).toBe(sense)
  })

  it('writes and verifies what came when the initiator has less than the CDB says', async () => {
    const unit = makeUnit()
    const half = dataOut.subarray(0, 200)
    const result = await new Host().execute(makeNexus([unit]), cdbOf(form, 0, 1, 0x02), { dataOut: half })
    expect(result.status).toBe(0)
    expect(unit.volume.bytes.subarray(0, 200).equals(half)).toBe(true)
    expect(unit.volume.bytes[200]).toBe(0)
  })

  it.each([
    ['BYTCHK 2', 0, 8, 0x04, Sense.InvalidCdbField],
    ['BYTCHK 3', 0, 8, 0x06, Sense.InvalidCdbField],
    ['WRPROTECT', 0, 8, 0x20, Sense.InvalidCdbField],
    ['a range past the end', 1017, 8, 0, Sense.LbaOutOfRange],
    ['no blocks past the end', 1025, 0, 0, Sense.LbaOutOfRange]
  ])('refuses %s, and changes nothing', async (_what, lba, blocks, flags, sense) => {
    const unit = makeUnit()
    const result = await new Host().execute(makeNexus([unit]), cdbOf(form, lba, blocks, flags), { dataOut })
    expect(result.sense).toBe(sense)
    expect(unit.volume.calls).toEqual([])
  })

  it('does nothing for no blocks', async () => {
    const unit = makeUnit()
    expect((await new Host().execute(makeNexus([unit]), cdbOf(form, 0, 0))).status).toBe(0)
    expect(unit.volume.calls).toEqual([])
  })
})
