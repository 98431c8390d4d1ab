import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { readWriteErrorRecovery } from '../../../lib/scsi/mode/read-write-error-recovery.js'
import { hex, makeUnit } from '../../support/scsi.js'

const CHANGED = { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true }

describe('mode page 01h', () => {
  it('has these bytes by default, and after every mode was changed', () => {
    expect(readWriteErrorRecovery.build(makeUnit(), DEFAULT_MODES).toString('hex')).toBe(
      hex('01 0a 0000000000 00 00000000')
    )
    expect(readWriteErrorRecovery.build(makeUnit(), CHANGED).toString('hex')).toBe(hex('01 0a 0000000000 00 00000000'))
  })

  it('enables threshold notifications (LBPERE) where there is a threshold', () => {
    const unit = makeUnit({ provisioning: () => ({ usedBytes: 0, limitBytes: 1, thresholdBytes: 1 }) })
    expect(readWriteErrorRecovery.build(unit, DEFAULT_MODES).toString('hex')).toBe(hex('01 0a 0000000000 80 00000000'))
  })
})
