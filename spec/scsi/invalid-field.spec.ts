import { describe, expect, it } from '@jest/globals'
import { invalidCdbField, invalidParameter } from '../../lib/scsi/invalid-field.js'
import { Host, fieldPointer, makeNexus, makeUnit } from '../support/scsi.js'

describe('an invalid field', () => {
  const host = new Host()
  const make = () => host.make(makeNexus([makeUnit()]), '00')

  it.each([
    [invalidCdbField, 3, undefined, '05/24', 'cdb byte 3'],
    [invalidCdbField, 1, 0, '05/24', 'cdb byte 1 bit 0'],
    [invalidParameter, 500, undefined, '05/26', 'list byte 500'],
    [invalidParameter, 20, 7, '05/26', 'list byte 20 bit 7']
  ])('is pointed at (%#)', (report, byte, bit, codes, pointer) => {
    const task = make()
    report(task, byte, bit)
    const sense = task.sense!
    expect(`0${sense[2]}/${sense[12]!.toString(16)}`).toBe(codes)
    expect(fieldPointer(sense)).toBe(pointer)
  })
})
