import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { logicalBlockProvisioning } from '../../../lib/scsi/mode/logical-block-provisioning.js'
import { SOFT_THRESHOLD_REACHED } from '../../../lib/scsi/sense.js'
import { hex, makeUnit } from '../../support/scsi.js'

const MIB = 1024 * 1024

describe('mode page 1Ch/02h (SBC-3 §6.5.9)', () => {
  const unit = makeUnit({ provisioning: () => ({ usedBytes: 0, limitBytes: 1024 * MIB, thresholdBytes: 819 * MIB }) })

  it('has one enabled soft threshold, armed increasing, on what is used', () => {
    const page = logicalBlockProvisioning.build(unit, DEFAULT_MODES)
    expect(page.toString('hex')).toBe(hex(`5c 02 0014 00 ${'00'.repeat(11)} 81 02 0000 00000333`))
    // The unit attention points at the descriptor.
    expect(page[SOFT_THRESHOLD_REACHED.information!]).toBe(0x81)
  })

  it('is there only where a threshold is', () => {
    expect(logicalBlockProvisioning.supported!(unit)).toBe(true)
    expect(logicalBlockProvisioning.supported!(makeUnit())).toBe(false)
  })
})
