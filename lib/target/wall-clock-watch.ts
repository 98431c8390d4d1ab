import type { Clock, Timer } from '../util/clock.js'
import type { Logger } from '../util/log.js'
import { formatDuration } from '../util/units.js'

const CHECK_INTERVAL_MS = 60_000
/** A time server corrects by less; nobody's lists suffer from it. */
const TOLERANCE_MS = 120_000

/**
 * Tells when the clock of this PC was set back. Nothing hangs on it, because grace and undo are measured on
 * ListeningTime, but whoever reads a list or a log must know why its times are wrong. That it is set on is no news: a PC
 * that slept looks the same.
 */
export class WallClockWatch {
  private timer: Timer | undefined
  private latest: number
  private monotonic: number

  /** @param latest - the latest time, ms since 1970, that a server has seen with this state directory; 0 = none */
  constructor(
    private readonly clock: Clock,
    latest: number,
    private readonly log: Logger
  ) {
    this.latest = latest
    this.monotonic = clock.monotonic()
  }

  /** Looks at the clock now, and then every minute until {@link stop}. */
  start(): void {
    this.check()
    this.timer = this.clock.setTimer(CHECK_INTERVAL_MS, () => {
      this.latest += this.clock.monotonic() - this.monotonic
      this.start()
    })
  }

  stop(): void {
    this.timer?.cancel()
  }

  private check(): void {
    const now = this.clock.now()
    const behindMs = this.latest - now
    if (behindMs > TOLERANCE_MS) {
      this.log.warn(
        `the clock of this PC was set back by ${formatDuration(behindMs)}: it says ${minuteOf(now)}, and a server has ` +
          `run here at ${minuteOf(this.latest)}; nothing is lost, since deltas are kept for hours of service and not by ` +
          'the clock, but times in lists and logs are wrong until it is right: "cloudx doctor" names the command for that'
      )
    }
    this.latest = now
    this.monotonic = this.clock.monotonic()
  }
}

function minuteOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
