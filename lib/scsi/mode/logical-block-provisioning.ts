import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { hasThreshold, thresholdSets } from '../provisioning.js'
import { SUBPAGE_FORMAT, type ModePage } from './page.js'

/** SBC-3 §6.5.9, with its one threshold descriptor. SITUA=0: every nexus is told. */
const layout = defineLayout(24, {
  code: u8,
  subpage: u8,
  length: u16,
  flags: u8,
  reserved: bytes(11),
  threshold: u8,
  thresholdResource: u8,
  thresholdReserved: u16,
  thresholdCount: u32
})

/** SBC-3 table 7: type 000b (soft), armed increasing (001b), on the used resources (02h). */
const ENABLED_SOFT_INCREASING = 0x81
const RESOURCE_USED = 0x02

export const logicalBlockProvisioning: ModePage = {
  code: 0x1c,
  subpage: 0x02,
  supported: hasThreshold,
  build: (unit) =>
    layout.make({
      code: SUBPAGE_FORMAT | 0x1c,
      subpage: 0x02,
      length: 20,
      threshold: ENABLED_SOFT_INCREASING,
      thresholdResource: RESOURCE_USED,
      thresholdCount: thresholdSets(unit)?.threshold ?? 0
    })
}
