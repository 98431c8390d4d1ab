import type { VpdPage } from './page.js'

/** SBC-3 §6.6.3: a medium that does not rotate, so that nobody defragments it and everybody sends UNMAP. */
export const blockDeviceCharacteristics: VpdPage = {
  code: 0xb1,
  build(unit) {
    // Windows ignores the page unless it is exactly this long.
    const body = Buffer.alloc(0x3c)
    body.writeUInt16BE(NON_ROTATING, 0)
    if (unit.maySanitize) body[3] = READABLE_AFTER_ERASE
    return body
  }
}

const NON_ROTATING = 0x0001
/** WABEREQ and WACEREQ 01b: after a block erase and a cryptographic erase reads are good. */
const READABLE_AFTER_ERASE = 0x50
