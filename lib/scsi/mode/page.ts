import type { LogicalUnit, Modes } from '../logical-unit.js'

/** A mode page (SPC-4 §7.5): its bytes for given modes, and which of its bits MODE SELECT may change. */
export interface ModePage {
  readonly code: number
  /** 0 for a page in page_0 format. */
  readonly subpage: number
  /** The whole page, header included, for these modes of this unit. */
  build(unit: LogicalUnit, modes: Readonly<Modes>): Buffer
  /** A mask of the page's length, header zero; without it nothing can be changed. */
  changeable?(unit: LogicalUnit): Buffer
  /** Takes over what a page from MODE SELECT says; only changeable bits can differ in it. */
  apply?(page: Buffer, modes: Modes): void
  /** Without it every unit has the page. */
  supported?(unit: LogicalUnit): boolean
}

/** Bit 6 of byte 0: the page is in subpage format. */
export const SUBPAGE_FORMAT = 0x40
