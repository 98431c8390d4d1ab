import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'

/**
 * 16 bytes that name this boot of the machine, so that a journal can tell the death of a process (the kernel still
 * wrote everything) from that of the machine (what was not flushed may be gone).
 *
 * Linux gives a random UUID. Elsewhere it is eight zero bytes and the time of the boot in milliseconds, which is only
 * about right, since the wall clock is corrected; see {@link sameBoot}.
 */
export function bootId(): Buffer {
  try {
    const id = Buffer.from(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').replaceAll(/[^0-9a-f]/g, ''), 'hex')
    if (id.length === BOOT_ID_LENGTH) return id
  } catch {
    // Not Linux, or no /proc: the time has to do.
  }
  return bootIdOfTime(Date.now() - uptime() * 1000)
}

export function bootIdOfTime(bootTimeMs: number): Buffer {
  const id = Buffer.alloc(BOOT_ID_LENGTH)
  id.writeBigUInt64BE(BigInt(Math.round(bootTimeMs)), TIME_OFFSET)
  return id
}

export function sameBoot(a: Buffer, b: Buffer): boolean {
  if (!isTime(a) || !isTime(b)) return a.equals(b)
  const apartMs = Number(a.readBigUInt64BE(TIME_OFFSET)) - Number(b.readBigUInt64BE(TIME_OFFSET))
  return Math.abs(apartMs) <= CLOCK_CORRECTION_MS_MAX
}

function isTime(id: Buffer): boolean {
  return id.readBigUInt64BE(0) === 0n
}

export const BOOT_ID_LENGTH = 16
const TIME_OFFSET = 8
/** A machine takes longer than this to boot twice, and its clock is rarely moved by more. */
const CLOCK_CORRECTION_MS_MAX = 20_000
