import { describe, expect, it } from '@jest/globals'
import { extendedInquiry } from '../../../lib/scsi/vpd/extended-inquiry.js'
import { hex, makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page 86h (SPC-4 §7.8.7)', () => {
  it('has 3Ch bytes: SIMPLE, ORDERED, HEAD OF QUEUE, a volatile cache, no protection', () => {
    expect(extendedInquiry.build(makeUnit(), makeNexus([])).toString('hex')).toBe(hex(`00 07 01 ${'00'.repeat(57)}`))
  })
})
