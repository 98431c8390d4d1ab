import { quoted } from '../util/quoted.js'
import { formatTime } from '../util/units.js'

/**
 * For the log line of a restore: the command that takes it back, which works in every folder.
 * @param now - wall clock, as `until` is
 */
export function undoHint(initiatorName: string, stateDirectory: string, until: number, now: number): string {
  return `undo until ${formatTime(until, now)}: cloudx delta undo ${initiatorName} --state-dir ${quoted(stateDirectory)}`
}
