import { closeSync, existsSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs'

/**
 * What a host may take from a virtual machine, and what the bench takes back for both targets alike, so that it measures
 * them and not the host: without it either of the two costs more than the target itself.
 *
 * A processor that has nothing to do is given to others, and to wake it costs 50 µs and more. The kernel has a remedy, to
 * poll for 0.2 ms before (`haltpoll`); some hosts turn it off. And memory that is free for a moment goes back to the host,
 * which is asked again for each page when a file grows: 5 µs for 4 KiB, where a machine that has its memory needs 1.
 */
const HALT_POLL = '/sys/module/haltpoll/parameters/guest_halt_poll_ns'
/** The kernel's own preset, nanoseconds. */
const HALT_POLL_PRESET_NS = 200_000
const SHARED_MEMORY = '/dev/shm'
const TMPFS_MAGIC = 0x01021994
const PIECE = Buffer.alloc(1 << 20, 1)

/** Lets processors poll before they stop, until this process ends; as root, where the kernel can and does not. */
export function keepAwake(): void {
  if (process.getuid?.() !== 0 || haltPollNs() !== 0) return
  setHaltPoll(HALT_POLL_PRESET_NS)
  process.once('exit', () => setHaltPoll(0))
}

/** Nanoseconds that a processor polls before it stops; undefined where there is no such thing. */
export function haltPollNs(): number | undefined {
  return existsSync(HALT_POLL) ? Number(readFileSync(HALT_POLL, 'utf8')) : undefined
}

/**
 * Takes so much memory from the host. What is returned gives it back to this machine, whose host will find it in its turn;
 * undefined where it cannot be had.
 */
export function ownMemory(bytes: number): (() => void) | undefined {
  if (!existsSync(SHARED_MEMORY)) return undefined
  const { type, bavail, bsize } = statfsSync(SHARED_MEMORY)
  if (type !== TMPFS_MAGIC || bavail * bsize < 2 * bytes) return undefined
  const path = `${SHARED_MEMORY}/cloudx-bench-${process.pid}`
  const fd = openSync(path, 'w')
  try {
    rmSync(path)
    for (let written = 0; written < bytes; written += PIECE.length) writeSync(fd, PIECE)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return () => closeSync(fd)
}

function setHaltPoll(ns: number): void {
  writeFileSync(HALT_POLL, `${ns}`)
}
