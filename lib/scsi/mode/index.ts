import type { LogicalUnit } from '../logical-unit.js'
import { caching } from './caching.js'
import { control } from './control.js'
import { informationalExceptions } from './informational-exceptions.js'
import { logicalBlockProvisioning } from './logical-block-provisioning.js'
import type { ModePage } from './page.js'
import { readWriteErrorRecovery } from './read-write-error-recovery.js'

/** Every mode page, in ascending order of page and subpage. */
export const modePages: readonly ModePage[] = [
  readWriteErrorRecovery,
  caching,
  control,
  informationalExceptions,
  logicalBlockProvisioning
]

export const ALL_PAGES = 0x3f
export const ALL_SUBPAGES = 0xff

/** The pages that MODE SENSE means by these two codes (SPC-4 table 162); empty when there is none. */
export function selectModePages(unit: LogicalUnit, code: number, subpage: number): ModePage[] {
  if (code === ALL_PAGES && subpage !== 0 && subpage !== ALL_SUBPAGES) return []
  return modePages.filter(
    (page) =>
      (code === ALL_PAGES || page.code === code) &&
      (subpage === ALL_SUBPAGES || page.subpage === subpage) &&
      (page.supported?.(unit) ?? true)
  )
}
