import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import { hasThreshold } from '../provisioning.js'
import type { ModePage } from './page.js'

/** SBC-3 §6.5.8. */
const layout = defineLayout(12, {
  code: u8,
  length: u8,
  flags: u8,
  readRetryCount: u8,
  obsolete: bytes(3),
  provisioning: u8,
  writeRetryCount: u8,
  reserved: u8,
  recoveryTimeLimit: u16
})

/** Threshold notifications are sent (SBC-3 §4.7.3.7.6). */
const FLAG_LBPERE = 0x80

export const readWriteErrorRecovery: ModePage = {
  code: 0x01,
  subpage: 0x00,
  build: (unit) => layout.make({ code: 0x01, length: 0x0a, provisioning: hasThreshold(unit) ? FLAG_LBPERE : 0 })
}
