import { PduError } from '../../lib/pdu/errors.js'
import { formatText, parseText, type TextPair } from '../../lib/pdu/text.js'
import type { Random } from '../../spec/support/random.js'
import { demand, demandEqual, type Fuzzer } from './fuzzer.js'

const TEXTS_EACH_ROUND = 100
/** RFC 7143 §6.1, and the bounds of docs/iscsi.md. */
const KEY_LENGTH_MAX = 63
const VALUE_LENGTH_MAX = 8192
const PAIRS_MAX = 256

/** The key=value text: what is refused and what comes out are judged by a second reading of §6.1. */
export const text: Fuzzer = {
  name: 'text',
  about: 'key=value text: no NUL, no =, long keys and values, many pairs, bytes that are no UTF-8',
  share: 0.25,
  open: () => ({ round, close: () => undefined })
}

function round(random: Random): number {
  for (let count = 0; count < TEXTS_EACH_ROUND; count++) tryOne(randomText(random))
  return TEXTS_EACH_ROUND
}

function tryOne(bytes: Buffer): void {
  const expected = secondReading(bytes)
  let pairs
  try {
    pairs = parseText(bytes, 0, bytes.length)
  } catch (error) {
    demand(error instanceof PduError, () => `${String(error)} for ${bytes.toString('hex')}`)
    demand(error.message.length < 400, 'an error says more than a line')
    return demandEqual(`a refusal of ${bytes.toString('hex')}`, expected, undefined)
  }
  demandEqual(bytes.toString('hex'), JSON.stringify(pairs), JSON.stringify(expected))
  const again = parseText(formatText(pairs), 0, formatText(pairs).length)
  demandEqual('the same text written anew', JSON.stringify(again), JSON.stringify(pairs))
}

/** undefined = to be refused. */
function secondReading(bytes: Buffer): TextPair[] | undefined {
  let words
  try {
    words = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
  if (words === '') return []
  const items = words.split('\0')
  if (items.pop() !== '') return undefined
  // Up to three NULs behind the last pair are padding.
  for (let spare = 0; spare < 3 && items.length > 1 && items.at(-1) === ''; spare++) items.pop()
  if (items.length > PAIRS_MAX) return undefined
  const pairs = items.map((item): TextPair | undefined => {
    const [, key, value] = /^([!-<>-~]+)=([^]*)$/.exec(item) ?? []
    if (key === undefined || value === undefined || key.length > KEY_LENGTH_MAX) return undefined
    return Buffer.byteLength(value) > VALUE_LENGTH_MAX ? undefined : [key, value]
  })
  if (pairs.includes(undefined)) return undefined
  const sound = pairs as TextPair[]
  return new Set(sound.map(([key]) => key)).size === sound.length ? sound : undefined
}

const KEYS = ['InitiatorName', 'TargetName', 'SessionType', 'HeaderDigest', 'MaxBurstLength', '__proto__', 'X-a.b', 'k']
const PIECES = ['=', '\0', '\0\0', ',', 'Yes', 'None', '4294967296', '-1', '0x', ' ', '\u0001', 'é', '=\0', '']

function randomText(random: Random): Buffer {
  let words = ''
  for (let count = random.chance(0.02) ? 255 + random.int(4) : random.int(8); count > 0; count--) {
    const key = random.chance(0.8) ? `${random.pick(KEYS)}${count}` : 'k'.repeat(random.pick([0, 62, 63, 64, 200]))
    const value = random.chance(0.9) ? random.pick(PIECES) : 'v'.repeat(random.pick([255, 8191, 8192, 8193]))
    words += `${key}${random.chance(0.97) ? '=' : ''}${value}${random.chance(0.97) ? '\0' : ''}`
  }
  if (random.chance(0.2)) words += '\0'.repeat(random.int(6))
  const bytes = Buffer.from(words)
  if (bytes.length > 0 && random.chance(0.3)) bytes[random.int(bytes.length)] = random.int(256)
  return bytes
}
