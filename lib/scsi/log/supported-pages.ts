import type { LogicalUnit } from '../logical-unit.js'
import type { LogPage } from './page.js'

/** SPC-4 §7.3.19: the codes of the pages that have no subpage code. */
export function supportedLogPages(all: () => readonly LogPage[]): LogPage {
  return {
    code: 0x00,
    subpage: 0x00,
    parameters: (unit) => list(known(all(), unit).flatMap((page) => (page.subpage === 0 ? [page.code] : [])))
  }
}

/** SPC-4 §7.3.20: the codes of all pages and subpages, in pairs. */
export function supportedLogSubpages(all: () => readonly LogPage[]): LogPage {
  return {
    code: 0x00,
    subpage: 0xff,
    parameters: (unit) => list(known(all(), unit).flatMap((page) => [page.code, page.subpage]))
  }
}

function known(pages: readonly LogPage[], unit: LogicalUnit): LogPage[] {
  return pages.filter((page) => page.supported?.(unit) ?? true)
}

function list(codes: number[]) {
  return [{ code: -1, bytes: Buffer.from(codes) }]
}
