import type { SessionEnd } from '../iscsi/directory.js'
import type { Refusal, SessionView } from '../iscsi/portal-group.js'
import { formatDuration, formatSize } from '../util/units.js'

/** The readable lines of sessions, one for each login, end and refusal. */
export function describeLogin({ type, initiatorName, targetName, remoteAddress, isid }: SessionView): string {
  if (type === 'Discovery') return `${initiatorName} asks from ${remoteAddress} which targets there are`
  return `${initiatorName} logged in to ${targetName} from ${remoteAddress} (ISID ${isid})`
}

export function describeEnded(session: SessionView, end: SessionEnd, tookMs: number): string {
  const { type, initiatorName, targetName, ageMs, dataInBytes, dataOutBytes } = session
  if (type === 'Discovery') return `${initiatorName} ended its discovery session (${describeEnd(end)})`
  const amount = `read ${formatSize(dataInBytes)}, wrote ${formatSize(dataOutBytes)}`
  return (
    `${initiatorName} left ${targetName}: ${describeEnd(end)}; ${amount} in ${formatDuration(ageMs)}, ` +
    `at rest after ${formatDuration(tookMs)}`
  )
}

export function describeRefusal({ remoteAddress, initiatorName, targetName, status, message }: Refusal): string {
  const code = status.toString(16).padStart(4, '0')
  const where = targetName === undefined ? '' : ` to ${targetName}`
  return `login of ${initiatorName ?? 'an unnamed initiator'}${where} from ${remoteAddress} refused (${code}h): ${message}`
}

/** Why a session ended, in words. */
export function describeEnd(end: SessionEnd): string {
  switch (end.kind) {
    case 'logout':
      return `logout, reason ${end.reason}`
    case 'logout-on-request':
      return `logout that we asked for, reason ${end.reason}`
    case 'closed':
      return 'connection closed without logout'
    case 'lost':
      return `connection lost: ${end.cause}`
    case 'reinstated':
      return 'replaced by a new session of the same initiator port'
    case 'stopped':
      return 'ended by the server'
  }
}
