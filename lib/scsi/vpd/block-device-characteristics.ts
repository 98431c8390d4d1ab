import type { VpdPage } from './page.js'

/** SBC-3 §6.6.3: a medium that does not rotate, so that nobody defragments it and everybody sends UNMAP. */
export const blockDeviceCharacteristics: VpdPage = {
  code: 0xb1,
  build() {
    // Windows ignores the page unless it is exactly this long.
    const body = Buffer.alloc(0x3c)
    body.writeUInt16BE(NON_ROTATING, 0)
    return body
  }
}

const NON_ROTATING = 0x0001
