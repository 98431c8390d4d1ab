import { createHash } from 'node:crypto'
import { NAME_LENGTH_MAX as NAME_BYTES_MAX, normalizeIscsiName } from '../../iscsi/login/names.js'

/** What every name that we make up begins with (RFC 7143 §4.2.7.3). `.local` belongs to nobody (RFC 6762). */
export const NAME_PREFIX = 'iqn.2010-04.local.cloudx:'

/**
 * The name of a target whose owner gave none: a function of the image's file name (and partition) alone, so that it
 * stays the same when the PC gets another name or the folder moves. Letters and digits of every script are kept, in the
 * form that names are compared in; what no iSCSI name can hold becomes a dash, and a name of which nothing can be kept
 * (RFC 3722 has no place for right-to-left letters behind `iqn.`) becomes `disk-` with its hash.
 */
export function defaultTargetName(imagePath: string, partition?: number): string {
  const fileName = imagePath.split(/[/\\]/).findLast((part) => part !== '') ?? ''
  const stem = fileName.normalize('NFKC').replace(/(?<=.)\.(img|raw|bin|dd|iso|disk)$/i, '')
  const plain = stem
    .toLowerCase()
    .normalize('NFKC')
    .replace(/[^\p{L}\p{M}\p{N}.]+/gu, '-')
    .replace(/^[.-]+|[.-]+$/g, '')
  const suffix = partition === undefined ? '' : `-p${partition}`
  const kept = shortened(plain, NAME_BYTES_MAX - NAME_PREFIX.length - suffix.length)
  return normalizeIscsiName(`${NAME_PREFIX}${kept}${suffix}`) ?? `${NAME_PREFIX}disk-${hashOf(stem)}${suffix}`
}

/** A name that is too long ends in a hash of all of it, so that two such names stay two. */
function shortened(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text
  const hash = hashOf(text)
  let kept = ''
  let bytes = hash.length + 1
  for (const char of text) {
    bytes += Buffer.byteLength(char)
    if (bytes > bytesMax) break
    kept += char
  }
  return `${kept}-${hash}`
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
