import { describe, expect, it } from '@jest/globals'
import { form10, form12, form16, form6 } from '../../../lib/scsi/commands/cdb.js'
import { hex } from '../../support/scsi.js'

const bytes = (text: string) => Buffer.from(hex(text).padEnd(32, '0'), 'hex')

describe('the range of a block command', () => {
  it.each([
    ['6 bytes', form6, '08 1f ffff 01 00', 0x1fffff, 1, 0],
    ['6 bytes with bits above the LBA', form6, '08 e0 0001 02 00', 1, 2, 0],
    ['6 bytes and 0 blocks, which mean 256', form6, '08 00 0000 00 00', 0, 256, 0],
    ['10 bytes', form10, '28 18 ffffffff 1f fffe 00', 0xffffffff, 0xfffe, 0x18],
    ['10 bytes and 0 blocks', form10, '28 00 00000001 00 0000 00', 1, 0, 0],
    ['12 bytes', form12, 'a8 08 80000000 ffffffff 1f 00', 0x80000000, 0xffffffff, 0x08],
    ['16 bytes', form16, '88 10 0000000100000002 80000001 1f 00', 0x100000002, 0x80000001, 0x10]
  ])('in %s', (_what, { rangeOf }, cdb, lba, blocks, flags) => {
    expect({ ...rangeOf(bytes(cdb)) }).toEqual({ lba, blocks, flags })
  })

  it.each(['0020000000000000', '7fffffffffffffff', '8000000000000000', 'ffffffffffffffff'])(
    'gives LBA %s as a number beyond every disk',
    (lba) => {
      expect(form16.rangeOf(bytes(`88 00 ${lba} 00000001 00 00`)).lba).toBeGreaterThanOrEqual(2 ** 53)
    }
  )
})
