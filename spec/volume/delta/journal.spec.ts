import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Journal } from '../../../lib/volume/delta/journal.js'
import { codeOf } from '../../../lib/util/errors.js'
import { thrown } from '../../contracts/volume.contract.js'
import { BOOT_ID, SALT, barrierRecord, slotsRecord, zeroRecord } from './golden.js'

const SLOTS = 1
const ZEROES = 2

describe('Journal', () => {
  let directory: string
  let fd: number
  let journal: Journal
  const originals = { writeSync: fs.writeSync, ftruncateSync: fs.ftruncateSync }

  beforeEach(() => {
    directory = fs.mkdtempSync(join(tmpdir(), 'journal-'))
    fd = fs.openSync(join(directory, 'map'), 'w+')
    journal = new Journal(fd, 0, SALT, 7, 0)
  })
  afterEach(() => {
    Object.assign(fs, originals)
    fs.closeSync(fd)
    fs.rmSync(directory, { recursive: true })
  })

  function written(): string {
    return fs.readFileSync(join(directory, 'map')).toString('hex')
  }

  function hexOf(...records: Buffer[]): string {
    return Buffer.concat(records).toString('hex')
  }

  it('writes nothing before the commit, and then everything at once', () => {
    let writes = 0
    fs.writeSync = ((...all: Parameters<typeof fs.writeSync>) => {
      writes++
      return originals.writeSync(...all)
    }) as typeof fs.writeSync
    journal.append(SLOTS, 10, 1, 0)
    journal.append(ZEROES, 20, 5, 0)
    journal.append(SLOTS, 30, 1, 1)
    expect([journal.uncommitted, written(), writes]).toEqual([true, '', 0])
    journal.commit()
    expect(written()).toBe(hexOf(slotsRecord(7, 10, 1, 0), zeroRecord(8, 20, 5), slotsRecord(9, 30, 1, 1)))
    expect([journal.uncommitted, writes, journal.end, journal.recordCount]).toEqual([false, 1, 72, 3])
    expect([journal.nextSequence, journal.committedSequence]).toEqual([10, 9])
  })

  // Found by cutting the power behind an UNMAP that came while a flush was syncing, and a second flush.
  it('does not take a barrier for one that covers what came while it was prepared', () => {
    journal.append(SLOTS, 10, 1, 0)
    journal.commit()
    const covered = journal.committedSequence
    journal.append(ZEROES, 20, 5, 0)
    journal.commit()
    journal.appendBarrier(covered)
    journal.commit()
    expect(journal.uncovered).toBe(true)
    journal.appendBarrier(journal.committedSequence)
    journal.commit()
    expect(journal.uncovered).toBe(false)
    journal.append(SLOTS, 30, 1, 1)
    journal.commit()
    expect(journal.uncovered).toBe(true)
  })

  it('joins what goes on where the last record ended, in chunks and in slots', () => {
    journal.append(SLOTS, 10, 1, 5)
    journal.append(SLOTS, 11, 2, 6)
    journal.append(SLOTS, 13, 1, 9)
    journal.append(ZEROES, 14, 1, 0)
    journal.append(ZEROES, 15, 1, 0)
    journal.append(ZEROES, 17, 1, 0)
    journal.commit()
    expect(written()).toBe(
      hexOf(slotsRecord(7, 10, 3, 5), slotsRecord(8, 13, 1, 9), zeroRecord(9, 14, 2), zeroRecord(10, 17, 1))
    )
  })

  it('does not join over a commit or a barrier', () => {
    journal.append(SLOTS, 10, 1, 0)
    journal.commit()
    journal.append(SLOTS, 11, 1, 1)
    journal.appendBarrier(7)
    journal.append(SLOTS, 12, 1, 2)
    journal.commit()
    expect(written()).toBe(
      hexOf(slotsRecord(7, 10, 1, 0), slotsRecord(8, 11, 1, 1), barrierRecord(9, 7, 6), slotsRecord(10, 12, 1, 2))
    )
  })

  it('numbers on after 2^32 - 1', () => {
    journal = new Journal(fd, 0, SALT, 0xffffffff, 0)
    journal.append(SLOTS, 1, 1, 0)
    journal.append(SLOTS, 5, 1, 9)
    journal.commit()
    expect(written()).toBe(hexOf(slotsRecord(0xffffffff, 1, 1, 0), slotsRecord(0, 5, 1, 9)))
    expect(journal.committedSequence).toBe(0)
  })

  it('grows for many records in one commit', () => {
    const records = Array.from({ length: 3000 }, (_, i) => slotsRecord(7 + i, i * 2, 1, i))
    for (let i = 0; i < 3000; i++) journal.append(SLOTS, i * 2, 1, i)
    journal.commit()
    expect(written()).toBe(hexOf(...records))
  })

  it('leaves nothing of a commit that failed half way, and goes on with the same numbers', () => {
    journal.append(SLOTS, 1, 1, 0)
    journal.commit()
    failAfter(10)
    journal.append(SLOTS, 5, 1, 1)
    expect(codeOf(thrown(() => journal.commit()))).toBe('ENOSPC')
    expect(written()).toBe(hexOf(slotsRecord(7, 1, 1, 0)))
    expect(journal.uncommitted).toBe(false)
    Object.assign(fs, originals)
    journal.append(SLOTS, 9, 1, 1)
    journal.commit()
    expect(written()).toBe(hexOf(slotsRecord(7, 1, 1, 0), slotsRecord(8, 9, 1, 1)))
  })

  it.each([
    ['once when room is made for it', [true], ''],
    ['no further when that was not enough', [true], 'ENOSPC'],
    ['not when there is no room to make', [false], 'ENOSPC']
  ])('tries a commit again on a full disk, %s', (_how, rooms, code) => {
    let asked = 0
    let left = code === 'ENOSPC' ? 3 : 1
    const roomy = new Journal(fd, 0, SALT, 7, 0, () => rooms[asked++]!)
    roomy.append(SLOTS, 10, 1, 0)
    fs.writeSync = ((file: number, buffer: Buffer, start: number, length: number, position: number) => {
      if (left-- === 0) left = -1
      else if (left >= 0) {
        originals.writeSync(file, buffer, start, 10, position)
        throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      }
      return originals.writeSync(file, buffer, start, length, position)
    }) as typeof fs.writeSync
    const error = code === '' ? roomy.commit() : codeOf(thrown(() => roomy.commit()))
    expect([error ?? '', asked]).toEqual([code, 1])
    expect(written()).toBe(code === '' ? hexOf(slotsRecord(7, 10, 1, 0)) : '')
  })

  it('takes no more commits when half of one could not be removed', () => {
    failAfter(24)
    fs.ftruncateSync = () => {
      throw Object.assign(new Error('injected'), { code: 'EIO' })
    }
    journal.append(SLOTS, 1, 1, 0)
    journal.append(SLOTS, 5, 1, 4)
    expect(codeOf(thrown(() => journal.commit()))).toBe('ENOSPC')
    Object.assign(fs, originals)
    journal.append(SLOTS, 9, 1, 1)
    expect(codeOf(thrown(() => journal.commit()))).toBe('EIO')
  })

  it('forgets what is dropped', () => {
    journal.append(SLOTS, 1, 1, 0)
    journal.drop()
    journal.commit()
    expect([written(), journal.nextSequence]).toEqual(['', 7])
  })

  it('names the boot', () => {
    journal.appendBoot(0x019000000001, BOOT_ID)
    journal.commit()
    expect(written().slice(0, 56)).toBe(`040401900000000100000007${BOOT_ID.toString('hex')}`)
  })

  /** Takes that many bytes, then has no space. */
  function failAfter(bytes: number): void {
    let left = bytes
    fs.writeSync = ((to: number, buffer: Buffer, start: number, length: number, position: number) => {
      if (left === 0) throw Object.assign(new Error('injected'), { code: 'ENOSPC' })
      const count = Math.min(left, length)
      left -= count
      return originals.writeSync(to, buffer, start, count, position)
    }) as typeof fs.writeSync
  }
})
