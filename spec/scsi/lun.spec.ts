import { describe, expect, it } from '@jest/globals'
import { lunNumber, writeLun } from '../../lib/scsi/lun.js'

function numberOf(text: string): number {
  return lunNumber(Buffer.from(`ff${text}`, 'hex'), 1)
}

describe('the LUN field (SAM-5 §4.7)', () => {
  it.each([
    ['0000000000000000', 0],
    ['0007000000000000', 7],
    ['00ff000000000000', 255],
    ['4000000000000000', 0],
    ['4100000000000000', 256],
    ['7fff000000000000', 16383]
  ])('reads %s as %d', (text, lun) => {
    expect(numberOf(text)).toBe(lun)
  })

  it.each([
    ['a bus other than 0', '0100000000000000'],
    ['a second level', '0000000100000000'],
    ['a last byte', '0000000000000001'],
    ['logical unit addressing', '8000000000000000'],
    ['a well known unit', 'c101000000000000'],
    ['extended addressing', 'd200000100000000'],
    ['noise', 'ffffffffffffffff']
  ])('finds no unit in %s', (_what, text) => {
    expect(numberOf(text)).toBe(-1)
  })

  it.each([
    [0, '0000000000000000'],
    [255, '00ff000000000000'],
    [256, '4100000000000000'],
    [16383, '7fff000000000000']
  ])('writes %d as %s over what was there', (lun, text) => {
    const field = Buffer.alloc(8, 0xee)
    writeLun(field, 0, lun)
    expect(field.toString('hex')).toBe(text)
  })
})
