import { describe, expect, it } from '@jest/globals'
import { modePagePolicy } from '../../../lib/scsi/vpd/mode-page-policy.js'
import { makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page 87h (SPC-4 §7.8.9)', () => {
  it('says that all nexuses share all mode pages', () => {
    expect(modePagePolicy.build(makeUnit(), makeNexus([])).toString('hex')).toBe('3fff0000')
  })
})
