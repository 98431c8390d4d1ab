import type { VpdPage } from './page.js'

/** SPC-4 §7.8.7; no protection information, no groups, no priorities. */
export const extendedInquiry: VpdPage = {
  code: 0x86,
  build() {
    const body = Buffer.alloc(BODY_LENGTH)
    body[1] = SUPPORTS_HEAD_OF_QUEUE | SUPPORTS_ORDERED | SUPPORTS_SIMPLE
    body[2] = SUPPORTS_VOLATILE_CACHE
    return body
  }
}

const BODY_LENGTH = 0x3c
const SUPPORTS_SIMPLE = 0x01
const SUPPORTS_ORDERED = 0x02
const SUPPORTS_HEAD_OF_QUEUE = 0x04
/** V_SUP: the server's page cache, which SYNCHRONIZE CACHE empties. */
const SUPPORTS_VOLATILE_CACHE = 0x01
