import { messageOf } from '../util/errors.js'
import { deltaPaths } from '../volume/delta/files.js'
import type { BaseFingerprint } from '../volume/delta/journal-format.js'
import { readDeltaHeader } from '../volume/delta/reissue.js'
import type { DeltaEvent } from './restore-policy.js'

export interface DeltaFault {
  readonly event: DeltaEvent
  readonly why: string
}

/**
 * Looks at the start of the server whether a delta can be attached to its base, by its header alone: the journal is
 * replayed when its client comes, since there may be many. Undefined when nothing speaks against it.
 * @param fingerprint - of the base as it is now, with the size of the unit's view
 */
export function checkDelta(
  directory: string,
  name: string,
  epoch: number,
  fingerprint: BaseFingerprint
): Promise<DeltaFault | undefined> {
  return checkMap(deltaPaths(directory, name, epoch).map, fingerprint)
}

/** The same for a map file wherever it lies. */
export async function checkMap(path: string, fingerprint: BaseFingerprint): Promise<DeltaFault | undefined> {
  try {
    const { base } = await readDeltaHeader(path)
    if (FIELDS.every((field) => base[field] === fingerprint[field])) return undefined
    return { event: 'base-changed', why: 'the base was changed or exchanged since this delta was written' }
  } catch (error) {
    return { event: 'unreadable', why: messageOf(error) }
  }
}

const FIELDS = ['uuid', 'generation', 'size', 'mtimeNs', 'inode'] as const
