import { checksum16 } from './checksum.js'
import { upcase } from './upcase-table.js'

/** What a name may have: exFAT §7.7.3 in UTF-16 code units. */
export const NAME_UNITS_MAX = 255
/** §7.3.3: of a volume label. */
export const LABEL_UNITS_MAX = 11

/** §7.7.3: control characters and these. */
const FORBIDDEN = new Set('"*/:<>?\\|')

/**
 * A name as it is written: composed (NFC), which is what Windows and Linux type. macOS hands names out decomposed, and
 * a decomposed Hangul name would show as a row of single letters.
 */
export function normalizeName(name: string): string {
  return name.normalize('NFC')
}

/** What two names of one directory must not share. */
export function nameKey(name: string): string {
  return upcase(name)
}

/** The name in UTF-16LE, as it stands on the volume. */
export function nameBytes(name: string): Buffer {
  return Buffer.from(name, 'utf16le')
}

/** NameHash, §7.6.4. */
export function nameHash(name: string): number {
  return checksum16(nameBytes(upcase(name)))
}

/** What is wrong with a normalised name, as the end of a sentence; undefined when nothing is. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (name === '.' || name === '..') return 'is reserved'
  if (name.length > NAME_UNITS_MAX) {
    return `is ${name.length} UTF-16 units long, and exFAT has room for ${NAME_UNITS_MAX}`
  }
  const character = forbiddenIn(name)
  if (character !== undefined) return `has ${describe(character)}, which exFAT forbids in names`
  // exFAT could store it, but Windows and Linux cut these off when they look a name up and never find the file.
  if (/[. ]$/.test(name)) return 'ends in a dot or a space, which Windows and Linux cannot open'
  return undefined
}

/** The same for a volume label. */
export function labelProblem(label: string): string | undefined {
  if (label === '') return 'is empty'
  if (label.length > LABEL_UNITS_MAX) {
    return `is ${label.length} characters long, and exFAT has room for ${LABEL_UNITS_MAX}`
  }
  const character = forbiddenIn(label)
  return character === undefined ? undefined : `has ${describe(character)}, which is forbidden in labels`
}

function forbiddenIn(name: string): string | undefined {
  return name.split('').find((character) => character < ' ' || FORBIDDEN.has(character))
}

function describe(character: string): string {
  return character < ' ' ? `the control character ${character.charCodeAt(0)}` : `the character ${character}`
}
