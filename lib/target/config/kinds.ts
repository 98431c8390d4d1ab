import { normalizeIscsiName } from '../../iscsi/login/names.js'
import { parseDuration, parseSize } from '../../util/units.js'
import { LOCAL_AUTHOR } from '../access.js'
import { AddressSet } from '../addresses.js'
import { POLICIES, RESTORE_ON, type InitiatorRule } from '../policy.js'

/** A kind of value: how its text is read, and the words that tell a person what would have been right. */
export interface Kind<T> {
  /** Goes on after "must be …". */
  readonly expects: string
  /** In the help, such as `SIZE`; empty for a switch, which takes no value. */
  readonly placeholder: string
  /** The value, or undefined when the text is none of this kind. */
  parse(text: string): T | undefined
}

const SWITCH_WORDS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['no', false],
  ['off', false]
])

export const onOff: Kind<boolean> = {
  expects: 'true or false',
  placeholder: '',
  parse: (text) => SWITCH_WORDS.get(text.toLowerCase())
}

export const text: Kind<string> = {
  expects: 'a text without control characters',
  placeholder: 'TEXT',
  // oxlint-disable-next-line no-control-regex
  parse: (value) => (value.length > 0 && !/[\u0000-\u001f\u007f]/.test(value) ? value : undefined)
}

/** A path stays as it was written; whoever knows its folder resolves it. */
export const path: Kind<string> = {
  expects: 'a path',
  placeholder: 'PATH',
  parse: (value) => (value.length > 0 && !value.includes('\0') ? value : undefined)
}

/** A century: a point in time that is this far away is an exact number still. */
const DURATION_MS_MAX = 36_500 * 86_400_000

export const duration: Kind<number> = {
  expects: 'a duration such as 96h, 30m, 45s or 0, at most 36500d',
  placeholder: 'TIME',
  parse(value) {
    const ms = parseDuration(value)
    return ms !== undefined && ms <= DURATION_MS_MAX ? ms : undefined
  }
}

/** The part of an initiator or target name that people type is checked whole (RFC 7143 §4.2.7). */
export const iscsiName: Kind<string> = {
  expects: 'an iSCSI name such as iqn.2025-01.org.example:share (lower case, no spaces, at most 223 bytes)',
  placeholder: 'IQN',
  parse: normalizeIscsiName
}

export const author: Kind<string> = {
  expects: `the iSCSI name of an initiator such as iqn.2025-01.org.example:owner, or "${LOCAL_AUTHOR}" for this PC`,
  placeholder: 'IQN',
  parse: (value) => (value === LOCAL_AUTHOR ? LOCAL_AUTHOR : normalizeIscsiName(value))
}

export const allowed: Kind<string> = {
  expects: 'an iSCSI name such as iqn.2025-01.org.example:pc-* or an address range such as 192.168.1.0/24',
  placeholder: 'IQN|CIDR',
  parse(value) {
    if (value === '*') return value
    if (!/^(iqn|eui|naa)\./i.test(value)) return new AddressSet().add(value) ? value : undefined
    return value.endsWith('*') ? namePrefix(value) : normalizeIscsiName(value)
  }
}

export const initiatorRule: Kind<InitiatorRule> = {
  expects:
    `a name or pattern, and behind "=" a policy (${POLICIES.join(', ')}), restore-on=${RESTORE_ON.join('|')} or both, such ` +
    'as iqn.2025-01.org.example:pc-*=restore,restore-on=boot; lun=N at the end for one LUN alone',
  placeholder: 'IQN=POLICY',
  parse(value) {
    const [name = '', ...behind] = value.split('=')
    const match = namePattern(name)
    const words = behind.join('=').split(',')
    const policy = POLICIES.find((word) => word === words[0])
    const rest = new Map((policy === undefined ? words : words.slice(1)).map((word) => splitAt(word, '=')))
    const restoreOn = RESTORE_ON.find((word) => word === rest.get('restore-on'))
    const lun = rest.has('lun') ? integer(0, LUN_MAX).parse(rest.get('lun')!) : undefined
    const known = [restoreOn, lun].filter((one) => one !== undefined).length
    if (match === undefined || known !== rest.size || words.length !== rest.size + (policy === undefined ? 0 : 1)) {
      return undefined
    }
    if (policy === undefined && restoreOn === undefined) return undefined
    // An author writes to the disks of a target as one.
    return policy === 'author' && lun !== undefined ? undefined : { match, lun, policy, restoreOn }
  }
}

const LUN_MAX = 255

function splitAt(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

export const advertised: Kind<string> = {
  expects: 'a host name or address, with a port if it differs: 192.168.1.5, [2001:db8::5]:3261 or nas.example.org',
  placeholder: 'HOST[:PORT]',
  parse(value) {
    const [named, , port] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(value) ?? []
    if (named === undefined) return isIPv6(value) ? value : undefined
    return port === undefined || inRange(Number(port), 1, 65535) ? value : undefined
  }
}

export const host: Kind<string> = {
  expects: 'an address or host name of this PC, such as 0.0.0.0, :: or 192.168.1.5',
  placeholder: 'HOST',
  parse: (value) => (/^[a-z0-9._-]+$/i.test(value) || isIPv6(value.replace(/%[\w.-]+$/, '')) ? value : undefined)
}

/** A whole number of a range, both ends included. */
export function integer(min: number, max: number, placeholder = 'N'): Kind<number> {
  return {
    expects: `a whole number from ${min} to ${max}`,
    placeholder,
    parse: (value) => (/^\d{1,15}$/.test(value) && inRange(Number(value), min, max) ? Number(value) : undefined)
  }
}

/** A size in bytes of a range, both ends included. */
export function size(min: number, max: number, expects = 'a size such as 20G, 512M or 4096'): Kind<number> {
  return {
    expects,
    placeholder: 'SIZE',
    parse(value) {
      const bytes = parseSize(value)
      return bytes !== undefined && inRange(bytes, min, max) ? bytes : undefined
    }
  }
}

/** A size that is a power of two of a range, both ends included. */
export function powerOfTwo(min: number, max: number, expects: string): Kind<number> {
  const whole = size(min, max, expects)
  return {
    ...whole,
    parse(value) {
      const bytes = whole.parse(value)
      return bytes !== undefined && Number.isInteger(Math.log2(bytes)) ? bytes : undefined
    }
  }
}

/** One word of a list. */
export function oneOf<T extends string>(...words: readonly T[]): Kind<T> {
  return {
    expects: words.join(' or ').replace(/ or (?=.* or )/g, ', '),
    placeholder: words.join('|'),
    parse: (value) => words.find((word) => word === value)
  }
}

/** One number of a list. */
export function oneOfNumbers<T extends number>(...numbers: readonly T[]): Kind<T> {
  const words = oneOf(...numbers.map(String))
  return { ...words, parse: (value) => numbers.find((number) => String(number) === value) }
}

function inRange(value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}

/** A name, or the beginning of names with `*` behind it, as names are compared. */
export function namePattern(value: string): string | undefined {
  if (value === '*') return value
  return value.endsWith('*') ? namePrefix(value) : normalizeIscsiName(value)
}

/** `iqn.2025-01.org.example:PC-*` → the same in the form that names are compared in. */
function namePrefix(pattern: string): string | undefined {
  const prefix = pattern.slice(0, -1).normalize('NFKC').toLowerCase()
  // A prefix need not be a whole name, so only what no name can hold is refused.
  return /^[^\s\p{C}*_/\\"'<>|&]{4,223}$/u.test(prefix) ? `${prefix}*` : undefined
}

function isIPv6(value: string): boolean {
  return value.includes(':') && new AddressSet().add(value)
}
