/**
 * Serial number arithmetic (RFC 1982, RFC 7143 §4.2.2.1) for CmdSN, StatSN, DataSN and R2TSN: 32 bits that wrap, and
 * "before" means less than half the circle behind.
 */
export function serialAdd(left: number, right: number): number {
  return (left + right) >>> 0
}

/** How far `to` lies ahead of `from`; negative when it lies behind. */
export function serialDistance(from: number, to: number): number {
  return (to - from) | 0
}

export function serialLess(left: number, right: number): boolean {
  return serialDistance(left, right) > 0
}
