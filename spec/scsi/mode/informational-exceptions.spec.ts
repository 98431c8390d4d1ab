import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { informationalExceptions } from '../../../lib/scsi/mode/informational-exceptions.js'
import { hex, makeUnit } from '../../support/scsi.js'

const CHANGED = { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true }

describe('mode page 1Ch', () => {
  it('has these bytes by default, and after every mode was changed', () => {
    expect(informationalExceptions.build(makeUnit(), DEFAULT_MODES).toString('hex')).toBe(
      hex('1c 0a 00000000000000000000')
    )
    expect(informationalExceptions.build(makeUnit(), CHANGED).toString('hex')).toBe(hex('1c 0a 00000000000000000000'))
  })

  it('has nothing to change', () => {
    expect(informationalExceptions.changeable).toBeUndefined()
  })
})
