import type { VpdPage } from './page.js'

/** SPC-4 §7.8.16. */
export const unitSerialNumber: VpdPage = {
  code: 0x80,
  build: (unit) => Buffer.from(unit.identity.serial, 'ascii')
}
