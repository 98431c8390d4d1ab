import type { Random } from '../../spec/support/random.js'
import {
  ZERO_TOKEN,
  abortCdb,
  populateCdb,
  populateList,
  receiveCdb,
  writeCdb,
  writeList,
  type Range
} from '../../spec/support/token-list.js'

/** Operation codes of block commands and of what every device has, and some that nobody has. */
const OPERATION_CODES = [
  0x00, 0x03, 0x04, 0x07, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x25, 0x28, 0x2a, 0x2e, 0x2f,
  0x34, 0x35, 0x37, 0x3b, 0x3c, 0x41, 0x42, 0x48, 0x4d, 0x55, 0x5a, 0x5e, 0x5f, 0x7f, 0x83, 0x84, 0x88, 0x89, 0x8a,
  0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9c, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xae, 0xaf, 0xb7, 0xc0, 0xff
]

/** 16 bytes: an operation code that means something, and fields that mostly do not. */
export function randomCdb(random: Random): Buffer {
  const cdb = Buffer.alloc(16)
  if (random.chance(0.2)) random.bytes(cdb)
  // Small numbers at the ends of fields are what gets past the first checks.
  for (let count = random.int(5); count > 0; count--)
    cdb[1 + random.int(15)] = random.pick([0, 1, 2, 8, 0x7f, 0x80, 0xff])
  cdb[0] = random.chance(0.95) ? random.pick(OPERATION_CODES) : random.int(256)
  return cdb
}

const LIST_LENGTH_MAX = 4096

/** What may stand in the data of MODE SELECT, UNMAP, PERSISTENT RESERVE OUT and their like. */
export function randomParameterList(random: Random): Buffer {
  const long = random.chance(0.1)
  const list = Buffer.alloc(long ? random.int(LIST_LENGTH_MAX) : random.pick([0, 1, 4, 7, 8, 12, 16, 23, 24, 40, 64]))
  if (random.chance(0.5)) random.bytes(list)
  if (list.length >= 8 && random.chance(0.7)) {
    // UNMAP: its own length, that of its descriptors, and LBAs that exist.
    list.writeUInt16BE(random.pick([0, 6, list.length - 2, 0xffff]), 0)
    list.writeUInt16BE(random.pick([0, 15, 16, list.length - 8, 0xfff0]), 2)
    for (let at = 8; at + 16 <= Math.min(list.length, 72); at += 16) {
      list.writeUInt32BE(random.pick([0, 0, 0, 0x80000000, 0xffffffff]), at)
      list.writeUInt32BE(random.pick([0, 1, 100, 0xffffffff]), at + 4)
      list.writeUInt32BE(random.pick([0, 1, 100, 0xffffffff]), at + 8)
    }
  }
  return list
}

/** Few of them, so that commands meet the copies of others. */
const TOKEN_LIST_IDS = 8

/**
 * A command that makes, uses or asks for tokens, sound for the most part: what is wrong with it lies behind the first
 * checks.
 * @param tokens - what was handed out before; some of it is sent again, some of that with a bit turned over
 */
export function randomTokenCommand(random: Random, tokens: readonly Buffer[]): { cdb: Buffer; list: Buffer } {
  const listId = random.int(TOKEN_LIST_IDS)
  const nothing = Buffer.alloc(0)
  if (random.chance(0.3)) {
    const cdb = random.chance(0.2) ? abortCdb(listId) : receiveCdb(listId, random.pick([0, 4, 549, 550, 4096]), 5)
    if (random.chance(0.8)) cdb[1] = random.pick([0x05, 0x07, 0x07, cdb[1]!])
    return { cdb, list: nothing }
  }
  const ranges = Array.from({ length: random.pick([0, 1, 1, 2, 3, 64, 65]) }, (): Range => {
    const lba = random.pick([random.int(2048), random.int(16), 2 ** 32, 2 ** 53])
    return [lba, random.pick([0, 1, random.int(64), 0xffffffff])]
  })
  const makes = random.chance(0.5)
  const list = makes ? populateList(ranges, populateOptions(random)) : writeList(tokenOf(random, tokens), ranges)
  if (random.chance(0.3)) list[random.int(list.length)] = random.int(256)
  const length = random.chance(0.9) ? list.length : random.int(list.length + 32)
  return { cdb: makes ? populateCdb(listId, length) : writeCdb(listId, length), list }
}

function populateOptions(random: Random) {
  return {
    flags: random.int(4),
    timeout: random.pick([0, 1, 600, 601]),
    rodType: random.pick([0x00800000, 0x00800001, 0x0080ffff, 0x00010000])
  }
}

function tokenOf(random: Random, tokens: readonly Buffer[]): Buffer {
  if (tokens.length === 0 || random.chance(0.1)) return ZERO_TOKEN
  const token = Buffer.from(random.pick(tokens))
  if (random.chance(0.2)) token[random.int(token.length)]! ^= 1 << random.int(8)
  return token
}

export function randomLun(random: Random): Buffer {
  if (random.chance(0.9)) return Buffer.of(0, random.int(2), 0, 0, 0, 0, 0, 0)
  return random.pick([
    Buffer.from('00ff000000000000', 'hex'),
    Buffer.from('4100000000000000', 'hex'),
    Buffer.from('c101000000000000', 'hex'),
    random.bytes(Buffer.alloc(8))
  ])
}
