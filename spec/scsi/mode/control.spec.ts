import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { control } from '../../../lib/scsi/mode/control.js'
import { hex, makeUnit } from '../../support/scsi.js'

const CHANGED = { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true }

describe('mode page 0Ah', () => {
  it('has these bytes by default, and after every mode was changed', () => {
    expect(control.build(makeUnit(), DEFAULT_MODES).toString('hex')).toBe(hex('0a 0a 02 10 00 00000000000000'))
    expect(control.build(makeUnit(), CHANGED).toString('hex')).toBe(hex('0a 0a 06 10 08 00000000000000'))
  })

  it('lets D_SENSE and SWP be changed, and takes them over', () => {
    expect(control.changeable!(makeUnit()).toString('hex')).toBe(hex('00 00 04 00 08 00000000000000'))
    const modes = { ...DEFAULT_MODES }
    control.apply!(control.build(makeUnit(), CHANGED), modes)
    expect(modes).toEqual({ ...CHANGED, writeCacheEnabled: true })
  })
})
