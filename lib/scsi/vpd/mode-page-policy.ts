import { ALL_PAGES, ALL_SUBPAGES } from '../mode/index.js'
import type { VpdPage } from './page.js'

/** SPC-4 §7.8.9: one descriptor for all pages and subpages; all nexuses of a unit share them (policy 00b). */
export const modePagePolicy: VpdPage = {
  code: 0x87,
  build: () => Buffer.from([ALL_PAGES, ALL_SUBPAGES, 0x00, 0x00])
}
