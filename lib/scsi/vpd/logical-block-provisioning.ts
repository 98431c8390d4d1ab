import { thresholdExponent } from '../provisioning.js'
import type { VpdPage } from './page.js'

/** SBC-3 §6.6.5. A unit that is not thin says so by zeroes: fully provisioned, nothing can be unmapped. */
export const logicalBlockProvisioning: VpdPage = {
  code: 0xb2,
  build: (unit) =>
    unit.thin
      ? Buffer.from([thresholdExponent(unit), LBPU | LBPWS | LBPWS10 | LBPRZ, PROVISIONING_THIN, 0])
      : Buffer.alloc(4)
}

/** UNMAP works. */
const LBPU = 0x80
/** WRITE SAME(16) with UNMAP works. */
const LBPWS = 0x40
/** WRITE SAME(10) with UNMAP works. */
const LBPWS10 = 0x20
/** What is unmapped reads as zeroes. */
const LBPRZ = 0x04
const PROVISIONING_THIN = 0x02
