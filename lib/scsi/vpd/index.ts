import { blockDeviceCharacteristics } from './block-device-characteristics.js'
import { blockLimits } from './block-limits.js'
import { deviceIdentification } from './device-identification.js'
import { extendedInquiry } from './extended-inquiry.js'
import { logicalBlockProvisioning } from './logical-block-provisioning.js'
import { modePagePolicy } from './mode-page-policy.js'
import type { VpdPage } from './page.js'
import { supportedPages } from './supported-pages.js'
import { thirdPartyCopy } from './third-party-copy.js'
import { unitSerialNumber } from './unit-serial-number.js'

/** Every VPD page, strictly ascending: Windows takes B0h and up for absent otherwise. */
export const vpdPages: readonly VpdPage[] = [
  supportedPages(() => vpdPages),
  unitSerialNumber,
  deviceIdentification,
  extendedInquiry,
  modePagePolicy,
  thirdPartyCopy,
  blockLimits,
  blockDeviceCharacteristics,
  logicalBlockProvisioning
]
