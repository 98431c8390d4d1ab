import type { LogicalUnit } from '../logical-unit.js'

/** A log page (SPC-4 §7.3). */
export interface LogPage {
  readonly code: number
  readonly subpage: number
  /** Without it every unit has the page. */
  supported?(unit: LogicalUnit): boolean
  /** Its log parameters in ascending order of their codes; a page that is a mere list has one without a code. */
  parameters(unit: LogicalUnit): LogParameter[]
}

export interface LogParameter {
  /** PARAMETER CODE; -1 in a page without parameters, which a parameter pointer cannot reach into. */
  readonly code: number
  readonly bytes: Buffer
}

/** The whole page: DS=1 (nothing is saved), SPF where there is a subpage, and the parameters from `pointer` on. */
export function logPage(page: LogPage, parameters: readonly LogParameter[]): Buffer {
  const body = Buffer.concat(parameters.map((parameter) => parameter.bytes))
  const savable = page.code === 0 ? 0 : DISABLE_SAVE
  const header = Buffer.from([savable | (page.subpage === 0 ? 0 : SUBPAGE_FORMAT) | page.code, page.subpage, 0, 0])
  header.writeUInt16BE(body.length, 2)
  return Buffer.concat([header, body])
}

const DISABLE_SAVE = 0x80
const SUBPAGE_FORMAT = 0x40
