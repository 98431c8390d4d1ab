import { describe, expect, it } from '@jest/globals'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'

/** CDBs of READ(6), (10), (12), (16). */
function reads(lba: number | bigint, blocks: number): [string, string][] {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  const all: [string, string][] = [['READ(16)', `88 00 ${h(lba, 16)} ${h(blocks, 8)} 00 00`]]
  if (lba <= 0xffffffff) all.push(['READ(12)', `a8 00 ${h(lba, 8)} ${h(blocks, 8)} 00 00`])
  if (lba <= 0xffffffff && blocks <= 0xffff) all.push(['READ(10)', `28 00 ${h(lba, 8)} 00 ${h(blocks, 4)} 00`])
  if (lba <= 0x1fffff && blocks > 0 && blocks <= 256) all.push(['READ(6)', `08 ${h(lba, 6)} ${h(blocks % 256, 2)} 00`])
  return all
}

describe('READ', () => {
  const host = new Host()

  it.each([512, 4096])('gives the blocks of %d bytes that its CDB names', async (blockSize) => {
    const volume = new FakeVolume(300 * blockSize)
    new Random(1).bytes(volume.bytes)
    const nexus = makeNexus([makeUnit({ volume, blockSize })])
    for (const [lba, blocks] of [
      [0, 1],
      [299, 1],
      [44, 256],
      [17, 3]
    ] as const) {
      for (const [, cdb] of reads(lba, blocks)) {
        const { status, data } = await host.execute(nexus, cdb)
        expect(status).toBe(0)
        expect(data.equals(volume.bytes.subarray(lba * blockSize, (lba + blocks) * blockSize))).toBe(true)
      }
    }
  })

  it.each([
    [0, 0],
    [1023, 0],
    [1024, 0]
  ])('does nothing for no blocks at LBA %d', async (lba, blocks) => {
    for (const [, cdb] of reads(lba, blocks)) {
      expect(await host.execute(makeNexus([makeUnit()]), cdb)).toMatchObject({ status: 0, hex: '' })
    }
  })

  it.each([
    [1025, 0],
    [1024, 1],
    [1023, 2],
    [0, 1025],
    [0xffffffff, 1],
    [0xffffffff, 0],
    [0, 0xffffffff],
    [2n ** 53n, 1],
    [2n ** 64n - 1n, 1],
    [2n ** 64n - 1n, 0],
    [2n ** 64n - 1n, 0xffffffff]
  ])('refuses LBA %d and %d blocks, beyond the last of 1024', async (lba, blocks) => {
    for (const [, cdb] of reads(lba, blocks)) {
      expect((await host.execute(makeNexus([makeUnit()]), cdb)).sense).toBe(Sense.LbaOutOfRange)
    }
  })

  it('refuses more than the maximum transfer length', async () => {
    const unit = makeUnit()
    Object.defineProperty(unit, 'blockCount', { value: 2 ** 40 })
    const result = await host.execute(makeNexus([unit]), hex('88 00 0000000000000000 00010001 00 00'))
    expect(result.sense).toBe(Sense.InvalidCdbField)
  })

  it.each(['28 18 00000000 1f 0001 00', 'a8 18 00000000 00000001 1f 00', '88 18 0000000000000000 00000001 1f 00'])(
    'allows DPO, FUA and a group number: %s',
    async (cdb) => {
      expect((await host.execute(makeNexus([makeUnit()]), cdb)).data).toHaveLength(512)
    }
  )

  it.each([1, 2, 3, 4, 5, 6, 7])('refuses RDPROTECT %d', async (protect) => {
    const cdb = [0x28, protect << 5, 0, 0, 0, 0, 0, 0, 1, 0]
    expect((await host.execute(makeNexus([makeUnit()]), cdb)).sense).toBe(Sense.InvalidCdbField)
  })
})
