import type { VpdPage } from './page.js'

/** SPC-4 §7.8.15. The list is passed in, since it has this page in it. */
export function supportedPages(all: () => readonly VpdPage[]): VpdPage {
  return {
    code: 0x00,
    build: () => Buffer.from(all().map((page) => page.code))
  }
}
