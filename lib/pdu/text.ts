import { isUtf8 } from 'node:buffer'
import { assert } from '../util/assert.js'
import { RejectReason } from './codes.js'
import { PduError } from './errors.js'

/**
 * The key=value text of Login and Text PDUs, RFC 7143 §6.1: UTF-8, each pair followed by one NUL.
 *
 * Strict where the RFC says MUST, since a text cut short must not pass for a whole one: the last pair needs its NUL
 * too. Lenient in two points that cost nothing: up to three NULs behind the last pair are taken as padding that the
 * sender counted, and any visible ASCII character may stand in a key, so that a strange one can be answered with
 * NotUnderstood. A text that spans PDUs (C bit) is put together by the caller first.
 */
export type TextPair = readonly [key: string, value: string]

/** In the order of the wire. Never a plain object: a key may be `__proto__`. */
export type TextParameters = readonly TextPair[]

export interface TextLimits {
  /** Bytes of one value. */
  readonly valueLengthMax: number
  readonly pairsMax: number
  /** Whether a key may come again, as TargetName and TargetAddress do in the answer to SendTargets. */
  readonly repeats: boolean
}

/** Bytes of a key, RFC 7143 §6.1. */
export const KEY_LENGTH_MAX = 63
/** Bytes of a value: a binary item of 1024 bytes in hexadecimal has 2050, and vendors send longer lists. */
export const VALUE_LENGTH_MAX = 8192
/** Pairs of one text: a login has about 25. */
export const PAIRS_MAX = 256

const NEGOTIATION: TextLimits = { valueLengthMax: VALUE_LENGTH_MAX, pairsMax: PAIRS_MAX, repeats: false }

const NUL = 0x00
const EQUALS = 0x3d
const PADDING_MAX = 3
const KEY = /^[!-<>-~]+$/

/**
 * Decodes `buffer[start, end)`.
 * @throws PduError with reason Protocol Error
 */
export function parseText(buffer: Buffer, start: number, end: number, limits = NEGOTIATION): TextParameters {
  const text = buffer.subarray(start, end)
  if (!isUtf8(text)) throw textError('it is not UTF-8')
  const pairs: TextPair[] = []
  const keys = new Set<string>()
  for (let offset = 0; offset < text.length && !isPadding(text, offset);) {
    const delimiter = text.indexOf(NUL, offset)
    if (delimiter < 0) throw textError('its last pair has no NUL behind it')
    if (pairs.length === limits.pairsMax) throw textError(`it has more than ${limits.pairsMax} pairs`)
    const pair = parsePair(text.subarray(offset, delimiter), limits.valueLengthMax)
    if (keys.has(pair[0]) && !limits.repeats) throw textError(`the key ${pair[0]} comes twice`)
    keys.add(pair[0])
    pairs.push(pair)
    offset = delimiter + 1
  }
  return pairs
}

function isPadding(text: Buffer, offset: number): boolean {
  return offset > 0 && text.length - offset <= PADDING_MAX && text.subarray(offset).every((byte) => byte === NUL)
}

function parsePair(pair: Buffer, valueLengthMax: number): TextPair {
  const equals = pair.indexOf(EQUALS)
  if (equals < 0) throw textError('a pair has no equals sign')
  if (equals > KEY_LENGTH_MAX) throw textError(`a key has more than ${KEY_LENGTH_MAX} bytes`)
  const key = pair.toString('latin1', 0, equals)
  if (!KEY.test(key)) throw textError('a key is empty or has other than visible ASCII characters')
  const valueLength = pair.length - equals - 1
  if (valueLength > valueLengthMax) throw textError(`the value of ${key} has more than ${valueLengthMax} bytes`)
  return [key, pair.toString('utf8', equals + 1)]
}

/** Encodes pairs in the given order; the result is not padded. */
export function formatText(pairs: TextParameters): Buffer {
  for (const [key, value] of pairs) {
    assert(KEY.test(key) && key.length <= KEY_LENGTH_MAX, `${JSON.stringify(key)} is no text key`)
    assert(!value.includes('\0'), `the value of ${key} holds a NUL`)
  }
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/
const HEXADECIMAL = /^0[xX]0*([0-9a-fA-F]{1,14})$/

/**
 * A numerical value, decimal or hexadecimal; undefined when it is neither. The RFC knows numbers below 2^64, but no
 * key has a range beyond 2^32, so one above 2^53 - 1, which a JavaScript number does not hold, is undefined too.
 */
export function parseNumber(text: string): number | undefined {
  const hexadecimal = HEXADECIMAL.exec(text)
  if (!hexadecimal && !DECIMAL.test(text)) return undefined
  const number = hexadecimal ? Number.parseInt(hexadecimal[1]!, 16) : Number(text)
  return Number.isSafeInteger(number) ? number : undefined
}

const HEXADECIMAL_BINARY = /^0[xX]([0-9a-fA-F]+)$/
const BASE64_BINARY = /^0[bB]((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))$/

/**
 * A binary value, 0x and hexadecimal digits (an odd number of them has a zero before it) or 0b and Base64 with its
 * padding; undefined when it is neither or has more than `lengthMax` bytes.
 */
export function parseBinary(text: string, lengthMax: number): Buffer | undefined {
  // Checked first, so that no long text is ever decoded: two characters of prefix and at most two for a byte.
  if (text.length > 2 + Math.max(2 * lengthMax, 4)) return undefined
  const bytes = fromHexadecimal(text) ?? fromBase64(text)
  return bytes !== undefined && bytes.length <= lengthMax ? bytes : undefined
}

function fromHexadecimal(text: string): Buffer | undefined {
  const digits = HEXADECIMAL_BINARY.exec(text)?.[1]
  if (digits === undefined) return undefined
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
}

function fromBase64(text: string): Buffer | undefined {
  const digits = BASE64_BINARY.exec(text)?.[1]
  if (digits === undefined) return undefined
  const bytes = Buffer.from(digits, 'base64')
  // Bits behind the last byte must be zero (RFC 4648 §3.5), or two texts would mean the same bytes.
  return bytes.toString('base64') === digits ? bytes : undefined
}

/** A binary value as hexadecimal text, which every initiator reads. */
export function formatBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}

const BOOLEANS = new Map([
  ['Yes', true],
  ['No', false]
])

/** `Yes` or `No`, to the letter; else undefined. */
export function parseBoolean(text: string): boolean | undefined {
  return BOOLEANS.get(text)
}

/** The values of a list; undefined when it or one of them is empty. */
export function parseList(text: string): string[] | undefined {
  const values = text.split(',')
  return values.includes('') ? undefined : values
}

function textError(message: string): PduError {
  return new PduError('ERR_ISCSI_TEXT', RejectReason.ProtocolError, `the text is refused: ${message}`)
}
