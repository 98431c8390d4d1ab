import { describe, expect, it } from '@jest/globals'
import { logicalBlockProvisioning } from '../../../lib/scsi/vpd/logical-block-provisioning.js'
import { makeNexus, makeUnit } from '../../support/scsi.js'

const provisioning = () => ({ usedBytes: 0, limitBytes: 1, thresholdBytes: 1 })

describe('VPD page B2h (SBC-3 §6.6.5)', () => {
  it.each([
    ['a thin unit without threshold', makeUnit(), '00e40200'],
    ['a thin unit with one, blocks of 512', makeUnit({ provisioning }), '0be40200'],
    ['a thin unit with one, blocks of 4096', makeUnit({ provisioning, blockSize: 4096 }), '08e40200'],
    ['a unit that is not thin', makeUnit({ provisioning, thin: false }), '00000000']
  ])('of %s', (_what, unit, expected) => {
    expect(logicalBlockProvisioning.build(unit, makeNexus([])).toString('hex')).toBe(expected)
  })
})
