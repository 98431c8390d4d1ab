/**
 * What asks the server to stop: Ctrl+C, a service manager, a closed console. On Windows a closed console window comes
 * as SIGHUP (the system ends the process about 10 s later, whatever we do) and Ctrl+Break as SIGBREAK.
 */
export const STOP_SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32' ? ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] : ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * One Ctrl+C reaches a server under npm twice: from the terminal, and from npm, which passes it on. Only what comes
 * later than this is a second wish.
 */
export const ECHO_MS = 300

/** The part of `process` that is used, so that a spec can stand in. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

export interface StopWatch {
  /** The first stop signal. */
  readonly stopped: Promise<NodeJS.Signals>
  /** Listens no more. */
  end(): void
}

/**
 * Waits for a stop signal; a second one calls `hurry`, which ends the process.
 * @param monotonic - milliseconds that never go back
 */
export function watchSignals(
  hurry: (signal: NodeJS.Signals) => void,
  source: SignalSource = process,
  monotonic: () => number = () => performance.now()
): StopWatch {
  let resolve: (signal: NodeJS.Signals) => void
  const stopped = new Promise<NodeJS.Signals>((settle) => (resolve = settle))
  let firstAt: number | undefined
  const listener = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = monotonic()
      resolve(signal)
    } else if (monotonic() - firstAt >= ECHO_MS) hurry(signal)
  }
  for (const signal of STOP_SIGNALS) source.on(signal, listener)
  const end = () => STOP_SIGNALS.forEach((signal) => source.off(signal, listener))
  return { stopped, end }
}
