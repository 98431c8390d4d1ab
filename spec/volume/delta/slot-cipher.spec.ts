import { createCipheriv } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { CIPHER_UNIT_BYTES, destroyKey, makeKey, readKey, SlotCipher } from '../../../lib/volume/delta/slot-cipher.js'
import { codeOf } from '../../../lib/util/errors.js'
import { Random, seedOf } from '../../support/random.js'

/** OpenSSL's own XTS, one data unit a call. */
function opensslXts(key: Buffer, plain: Buffer, position: number): Buffer {
  const units: Buffer[] = []
  for (let at = 0; at < plain.length; at += CIPHER_UNIT_BYTES) {
    const tweak = Buffer.alloc(16)
    tweak.writeBigUInt64LE(BigInt((position + at) / CIPHER_UNIT_BYTES))
    units.push(createCipheriv('aes-256-xts', key, tweak).update(plain.subarray(at, at + CIPHER_UNIT_BYTES)))
  }
  return Buffer.concat(units)
}

describe('SlotCipher', () => {
  const seed = seedOf(0xae5)
  it(`gives what OpenSSL's aes-256-xts gives, unit by unit, at every place (seed ${seed})`, () => {
    const random = new Random(seed)
    const cipher = new SlotCipher(random.bytes(Buffer.alloc(64)))
    const key = new Random(seed).bytes(Buffer.alloc(64))
    for (const units of [1, 2, 8, 127, 128, 129, 300]) {
      const plain = random.bytes(Buffer.alloc(units * CIPHER_UNIT_BYTES))
      for (const position of [0, 512, 4096 * random.int(2 ** 40), 512 * (2 ** 32 - 1), 512 * (2 ** 44 - 300)]) {
        const expected = opensslXts(key, plain, position)
        const target = Buffer.alloc(plain.length)
        // At an odd place of a larger buffer, as the data of a command may lie.
        const source = Buffer.concat([Buffer.alloc(3), plain, Buffer.alloc(5)])
        cipher.encrypt(source, 3, plain.length, position, target)
        expect(target.equals(expected)).toBe(true)
        expect(source.subarray(3, 3 + plain.length).equals(plain)).toBe(true)
        const within = Buffer.concat([Buffer.alloc(1), target])
        cipher.decrypt(within, 1, plain.length, position)
        expect(within.subarray(1).equals(plain)).toBe(true)
      }
    }
  })

  it('gives what IEEE 1619 gives in vector 10 of its annex B', () => {
    const key = Buffer.from(
      '2718281828459045235360287471352662497757247093699959574966967627' +
        '3141592653589793238462643383279502884197169399375105820974944592',
      'hex'
    )
    const plain = Buffer.from(Array.from({ length: 512 }, (_, index) => index & 0xff))
    const target = Buffer.alloc(512)
    new SlotCipher(key).encrypt(plain, 0, 512, 512 * 0xff, target)
    expect(target.toString('hex')).toMatch(/^1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b/)
  })

  it('refuses a part of a data unit, and a key that is none', () => {
    const cipher = new SlotCipher(Buffer.alloc(64, 1))
    expect(() => cipher.decrypt(Buffer.alloc(512), 0, 100, 0)).toThrow('whole data units')
    expect(() => cipher.decrypt(Buffer.alloc(512), 0, 512, 100)).toThrow('whole data units')
    expect(() => new SlotCipher(Buffer.alloc(32))).toThrow('a key of 32 bytes')
  })
})

describe('a key', () => {
  let folder: string
  let path: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cloudx-key-'))
    path = join(folder, 'lun-0-1.key')
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('is random, for its user alone, and read back', async () => {
    const key = await makeKey(path)
    expect(await readKey(path)).toEqual(key)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const other = await makeKey(`${path}2`)
    expect(other.equals(key)).toBe(false)
    expect(await makeKey(path).then(() => 'made', codeOf)).toBe('EEXIST')
  })

  it('is overwritten before its file goes', async () => {
    const key = await makeKey(path)
    const watcher = await open(path, 'r')
    await destroyKey(path)
    const left = Buffer.alloc(100)
    const { bytesRead } = await watcher.read(left, 0, 100, 0)
    await watcher.close()
    expect([bytesRead, left.subarray(0, 64).equals(key)]).toEqual([64, false])
    expect(await readdir(folder)).toEqual([])
  })

  it.each([0, 63, 65])('of %i bytes is damaged', async (length) => {
    await writeFile(path, Buffer.alloc(length))
    expect(await readKey(path).then(() => 'read', codeOf)).toBe('ERR_ISCSI_DELTA_UNREADABLE')
    expect((await readFile(path)).length).toBe(length)
  })

  it('that is gone makes the delta unreadable', async () => {
    expect(await readKey(path).then(() => 'read', codeOf)).toBe('ERR_ISCSI_DELTA_UNREADABLE')
  })
})
