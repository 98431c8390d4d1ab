import type { LogicalUnit } from '../logical-unit.js'
import type { Nexus } from '../nexus.js'

/** A vital product data page (SPC-4 §7.8). */
export interface VpdPage {
  readonly code: number
  /** What follows the four bytes of the page's header. */
  build(unit: LogicalUnit, nexus: Nexus): Buffer
}

export const VPD_HEADER_LENGTH = 4

/** Puts the header in front: peripheral qualifier and type, page code, length. */
export function vpdPage(peripheral: number, code: number, body: Buffer): Buffer {
  const header = Buffer.from([peripheral, code, 0, 0])
  header.writeUInt16BE(body.length, 2)
  return Buffer.concat([header, body])
}
