import { parseAhs } from '../../lib/pdu/ahs.js'
import { PduError } from '../../lib/pdu/errors.js'
import type { Random } from '../../spec/support/random.js'
import { isSoundAhs } from './framing.js'
import { demand, demandEqual, type Fuzzer } from './fuzzer.js'

const LISTS_EACH_ROUND = 200

/** Additional header segments: refused or walked exactly as the standard's own rules say, and never left. */
export const additionalHeaders: Fuzzer = {
  name: 'ahs',
  about: 'additional header segments, with lengths of 0, odd ones, and ones beyond the end',
  share: 0.25,
  open: () => ({ round, close: () => undefined })
}

function round(random: Random): number {
  for (let count = 0; count < LISTS_EACH_ROUND; count++) tryOne(randomAhs(random), random)
  return LISTS_EACH_ROUND
}

function tryOne(ahs: Buffer, random: Random): void {
  const before = random.int(64)
  const buffer = Buffer.concat([Buffer.alloc(before, 0xa5), ahs, Buffer.alloc(16, 0xa5)])
  const sound = isSoundAhs(ahs)
  let list
  try {
    list = parseAhs(buffer, before, ahs.length)
  } catch (error) {
    demand(error instanceof PduError, () => `${String(error)} for ${ahs.toString('hex')}`)
    return demandEqual(`a refusal of ${ahs.toString('hex')}`, sound, false)
  }
  demandEqual(`a list out of ${ahs.toString('hex')}`, sound, true)
  let at = 0
  for (const { specific } of list) {
    demand(specific.equals(ahs.subarray(at + 3, at + 3 + specific.length)), `other bytes in ${ahs.toString('hex')}`)
    at += Math.ceil((3 + specific.length) / 4) * 4
  }
  demandEqual(`the bytes walked of ${ahs.toString('hex')}`, at, ahs.length)
}

/** Whole words: sound more often than not, else with one wrong length or type, or noise. */
export function randomAhs(random: Random): Buffer {
  const segments = Array.from({ length: 1 + random.int(3) }, () => segment(random))
  const ahs = Buffer.concat(segments)
  if (random.chance(0.5)) ahs[random.int(ahs.length)] = random.pick([0, 1, 2, 5, 0xff, random.int(256)])
  if (random.chance(0.1)) return random.bytes(Buffer.alloc(4 * (1 + random.int(255))))
  return ahs.subarray(0, Math.min(ahs.length, 1020))
}

function segment(random: Random): Buffer {
  const type = random.pick([1, 2, 2, random.int(64)])
  const length = type === 2 ? 5 : random.pick([0, 1, 2, 5, 17, 33, 245, 246, random.int(300)])
  const bytes = random.bytes(Buffer.alloc(Math.ceil((3 + length) / 4) * 4))
  bytes.writeUInt16BE(length, 0)
  bytes[2] = type
  return bytes
}
