import { logicalBlockProvisioning } from './logical-block-provisioning.js'
import type { LogPage } from './page.js'
import { supportedLogPages, supportedLogSubpages } from './supported-pages.js'

/** Every log page, in ascending order of page and subpage. */
export const logPages: readonly LogPage[] = [
  supportedLogPages(() => logPages),
  supportedLogSubpages(() => logPages),
  logicalBlockProvisioning
]
