import { describe, expect, it } from '@jest/globals'
import { logicalBlockProvisioning } from '../../../lib/scsi/log/logical-block-provisioning.js'
import { hex, makeUnit } from '../../support/scsi.js'

describe('log page 0Ch (SBC-3 §6.4.4)', () => {
  it('counts threshold sets: available, which others may use up, and used, which are the unit’s own', () => {
    const unit = makeUnit({ provisioning: () => ({ usedBytes: 1, limitBytes: 2 ** 30, thresholdBytes: 0 }) })
    const parameters = logicalBlockProvisioning.parameters(unit)
    expect(parameters.map(({ code, bytes }) => [code, bytes.toString('hex')])).toEqual([
      [1, hex('0001 03 08 000003ff 02 000000')],
      [2, hex('0002 03 08 00000001 01 000000')]
    ])
  })
})
