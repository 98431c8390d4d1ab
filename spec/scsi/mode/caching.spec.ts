import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { caching } from '../../../lib/scsi/mode/caching.js'
import { hex, makeUnit } from '../../support/scsi.js'

const CHANGED = { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true }

describe('mode page 08h', () => {
  it('has these bytes by default, and after every mode was changed', () => {
    expect(caching.build(makeUnit(), DEFAULT_MODES).toString('hex')).toBe(
      hex('08 12 04 0000000000000000000000000000000000')
    )
    expect(caching.build(makeUnit(), CHANGED).toString('hex')).toBe(hex('08 12 00 0000000000000000000000000000000000'))
  })

  it('lets WCE be changed, and takes it over', () => {
    expect(caching.changeable!(makeUnit()).toString('hex')).toBe(hex('00 00 04 0000000000 0000000000 0000000000 0000'))
    const modes = { ...DEFAULT_MODES }
    caching.apply!(caching.build(makeUnit(), CHANGED), modes)
    expect(modes).toEqual({ ...DEFAULT_MODES, writeCacheEnabled: false })
  })

  it('has WCE 0 on a unit that is write-through, and lets nobody change it', () => {
    const unit = makeUnit({ writeThrough: true })
    const zeroes = hex('08 12 00 0000000000000000000000000000000000')
    for (const modes of [unit, unit.defaultModes]) expect(caching.build(unit, modes).toString('hex')).toBe(zeroes)
    expect(caching.changeable!(unit).toString('hex')).toBe(hex('00 00 00 0000000000 0000000000 0000000000 0000'))
    unit.reset()
    expect(unit.writeCacheEnabled).toBe(false)
  })
})
