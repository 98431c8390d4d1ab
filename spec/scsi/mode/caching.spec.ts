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
    expect(caching.changeable!.toString('hex')).toBe(hex('00 00 04 0000000000 0000000000 0000000000 0000'))
    const modes = { ...DEFAULT_MODES }
    caching.apply!(caching.build(makeUnit(), CHANGED), modes)
    expect(modes).toEqual({ ...DEFAULT_MODES, writeCacheEnabled: false })
  })
})
