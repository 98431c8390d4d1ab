import { defineLayout, u32, u8 } from '../../layout/layout.js'
import type { ModePage } from './page.js'

/** SPC-4 §7.5.11. MRIE=0h: no informational exceptions are reported, for a file wears no bearings. */
const layout = defineLayout(12, { code: u8, length: u8, flags: u8, mrie: u8, intervalTimer: u32, reportCount: u32 })

export const informationalExceptions: ModePage = {
  code: 0x1c,
  subpage: 0x00,
  build: () => layout.make({ code: 0x1c, length: 0x0a })
}
