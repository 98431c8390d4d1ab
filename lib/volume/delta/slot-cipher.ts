import { createCipheriv, createDecipheriv, randomBytes, type Cipher, type Decipher } from 'node:crypto'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { endianness } from 'node:os'
import { dirname } from 'node:path'
import { assert } from '../../util/assert.js'
import { syncDirectory } from '../../util/directory.js'
import { unreadable } from './journal-format.js'

/** Bytes of a data unit: nothing smaller is ever written, so no write has to read its surroundings first. */
export const CIPHER_UNIT_BYTES = 512
/** Two keys of AES-256: one for the data, one for the place. */
export const CIPHER_KEY_BYTES = 64

const BLOCK_BYTES = 16
const BLOCK_WORDS = BLOCK_BYTES / 4
const UNIT_BLOCKS = CIPHER_UNIT_BYTES / BLOCK_BYTES
/** Bytes that are worked on at a time. */
const PIECE_BYTES = 64 * 1024
const PIECE_UNITS = PIECE_BYTES / CIPHER_UNIT_BYTES

/**
 * AES-256-XTS (IEEE 1619) over the slot file, a data unit of 512 bytes each, numbered by its place in the file.
 *
 * XTS and not a stream (CTR): a slot is written again in place, and a stream that is used twice gives away the
 * difference of both contents to whoever finds an old block on the medium. Not authenticated (GCM): a tag for each unit
 * would need a place that changes in one step with it; what somebody could change here he could as well delete, and a
 * delta is found to be whole by its journal.
 *
 * Node's own aes-256-xts takes one data unit a call, which costs more than the cipher itself. So the tweaks of a whole
 * piece go through one call of ECB, and its data through another; the result is the same, byte for byte.
 *
 *   tweak of unit n, block 0   T = AES(key 2, n)        the next block's: T · x in GF(2^128)
 *   block                      C = AES(key 1, P ⊕ T) ⊕ T
 */
export class SlotCipher {
  private readonly encryptor: Cipher
  private readonly decryptor: Decipher
  private readonly tweaker: Cipher
  private readonly numbers = Buffer.alloc(PIECE_UNITS * BLOCK_BYTES)
  private readonly numberWords = words(this.numbers)
  private readonly masks = new Uint32Array(PIECE_BYTES / 4)
  private readonly piece = Buffer.alloc(PIECE_BYTES)
  private readonly pieceWords = words(this.piece)

  constructor(key: Buffer) {
    assert(key.length === CIPHER_KEY_BYTES, `a key of ${key.length} bytes`)
    assert(endianness() === 'LE', 'encrypted deltas need a little-endian processor')
    const [dataKey, tweakKey] = [key.subarray(0, CIPHER_KEY_BYTES / 2), key.subarray(CIPHER_KEY_BYTES / 2)]
    this.encryptor = createCipheriv('aes-256-ecb', dataKey, null).setAutoPadding(false)
    this.decryptor = createDecipheriv('aes-256-ecb', dataKey, null).setAutoPadding(false)
    this.tweaker = createCipheriv('aes-256-ecb', tweakKey, null).setAutoPadding(false)
  }

  /** Whether a range is of whole data units, as those of logical blocks are. */
  static fits(length: number, position: number): boolean {
    return length % CIPHER_UNIT_BYTES === 0 && position % CIPHER_UNIT_BYTES === 0
  }

  /**
   * @param position - of the first byte in the slot file
   * @param target - gets the result from its beginning; may be the source itself only when `start` is 0
   */
  encrypt(source: Buffer, start: number, length: number, position: number, target: Buffer): void {
    this.run(this.encryptor, source, start, length, position, target, 0)
  }

  /** In place. */
  decrypt(buffer: Buffer, start: number, length: number, position: number): void {
    this.run(this.decryptor, buffer, start, length, position, buffer, start)
  }

  private run(
    cipher: Cipher | Decipher,
    source: Buffer,
    start: number,
    length: number,
    position: number,
    target: Buffer,
    targetStart: number
  ): void {
    assert(SlotCipher.fits(length, position), 'a range that is not of whole data units')
    const { piece } = this
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const bytes = Math.min(PIECE_BYTES, length - done)
      this.mask((position + done) / CIPHER_UNIT_BYTES, bytes / CIPHER_UNIT_BYTES)
      source.copy(piece, 0, start + done, start + done + bytes)
      this.apply(bytes / 4)
      cipher.update(piece.subarray(0, bytes)).copy(piece)
      this.apply(bytes / 4)
      piece.copy(target, targetStart + done, 0, bytes)
    }
  }

  private apply(count: number): void {
    const { pieceWords, masks } = this
    for (let at = 0; at < count; at++) pieceWords[at]! ^= masks[at]!
  }

  /** Fills the masks of so many units from this one on. */
  private mask(unit: number, count: number): void {
    const { numberWords, masks } = this
    for (let index = 0; index < count; index++) {
      // Little-endian, as the standard has it; a number of a unit stays below 2^53.
      numberWords[index * BLOCK_WORDS] = (unit + index) % 0x100000000
      numberWords[index * BLOCK_WORDS + 1] = Math.floor((unit + index) / 0x100000000)
    }
    const first = words(this.tweaker.update(this.numbers.subarray(0, count * BLOCK_BYTES)))
    for (let index = 0; index < count; index++) {
      const word = index * BLOCK_WORDS
      let a = first[word]!
      let b = first[word + 1]!
      let c = first[word + 2]!
      let d = first[word + 3]!
      let at = index * UNIT_BLOCKS * BLOCK_WORDS
      for (let block = 0; block < UNIT_BLOCKS; block++) {
        masks[at++] = a
        masks[at++] = b
        masks[at++] = c
        masks[at++] = d
        const carry = d >>> 31
        d = ((d << 1) | (c >>> 31)) >>> 0
        c = ((c << 1) | (b >>> 31)) >>> 0
        b = ((b << 1) | (a >>> 31)) >>> 0
        a = ((a << 1) ^ (carry * REDUCTION)) >>> 0
      }
    }
  }
}

/** x^128 = x^7 + x^2 + x + 1 */
const REDUCTION = 0x87

/** The same bytes as words; copied when they do not lie so that they can be. */
function words(bytes: Buffer): Uint32Array {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer)
  return new Uint32Array(whole.buffer, whole.byteOffset, bytes.length / 4)
}

const KEY_MODE = 0o600

/** Makes a key and its file, which is on the medium when this resolves; its name is with the next sync of its folder. */
export async function makeKey(path: string): Promise<Buffer> {
  const key = randomBytes(CIPHER_KEY_BYTES)
  const file = await open(path, 'wx', KEY_MODE)
  try {
    await file.write(key)
    await file.datasync()
  } finally {
    await file.close()
  }
  return key
}

/** @throws DeltaError when there is none: nobody can read the delta any more */
export async function readKey(path: string): Promise<Buffer> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    throw unreadable('its key is gone', error)
  }
  try {
    const key = Buffer.alloc(CIPHER_KEY_BYTES + 1)
    const { bytesRead } = await file.read(key, 0, key.length, 0)
    if (bytesRead !== CIPHER_KEY_BYTES) throw unreadable('its key is damaged')
    return key.subarray(0, CIPHER_KEY_BYTES)
  } finally {
    await file.close()
  }
}

/**
 * Destroys a key: overwrites it, takes its file away, and has both on the medium when this resolves. A medium that
 * writes to other places than it is told (flash, a file system that copies on write) may keep the old one for a while.
 */
export async function destroyKey(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(randomBytes(CIPHER_KEY_BYTES), 0, CIPHER_KEY_BYTES, 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await unlink(path)
  await syncDirectory(dirname(path))
}
