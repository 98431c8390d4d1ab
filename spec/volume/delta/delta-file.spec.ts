import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeltaFile } from '../../../lib/volume/delta/delta-file.js'
import type { DeltaOptions } from '../../../lib/volume/delta/delta-options.js'
import { SpaceBudget } from '../../../lib/volume/delta/budget.js'
import { BASE, COPIED, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { codeOf } from '../../../lib/util/errors.js'
import { Slices } from '../../../lib/util/slices.js'
import { thrown } from '../../contracts/volume.contract.js'
import { Random, seedOf } from '../../support/random.js'
import {
  BOOT_ID,
  HEADER,
  baseRecord,
  bootRecord,
  copiedRecord,
  goldenHeader,
  sharedRecord,
  slotsRecord,
  zeroRecord
} from './golden.js'

const QUICK_DIRECTORY = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const OTHER_BOOT = Buffer.alloc(16, 0x0f)
const CHUNKS = 256

describe('DeltaFile', () => {
  let directory: string
  let delta: DeltaFile | undefined

  beforeEach(() => {
    directory = fs.mkdtempSync(join(QUICK_DIRECTORY, 'delta-'))
  })
  afterEach(async () => {
    await delta?.close().catch(() => undefined)
    delta = undefined
    fs.rmSync(directory, { recursive: true, force: true })
  })

  function options(more: Partial<DeltaOptions> = {}): DeltaOptions {
    return {
      directory,
      name: 'd',
      base: HEADER.base,
      owner: HEADER.owner,
      incarnation: HEADER.incarnation,
      bootId: BOOT_ID,
      ...more
    }
  }

  async function opened(more: Partial<DeltaOptions> = {}): Promise<DeltaFile> {
    await delta?.close().catch(() => undefined)
    delta = undefined
    return (delta = await DeltaFile.open(options(more)))
  }

  /** Puts new data into chunks, as the overlay does. */
  function put(to: DeltaFile, chunk: number, count: number): void {
    to.charge(count, 1)
    for (let done = 0; done < count;) {
      const slot = to.takeSlots(chunk + done, count - done)
      const { granted } = to.slots
      for (let i = 0; i < granted; i++) {
        to.slotFile.writeNow(Buffer.alloc(4096, chunk + done + i), 0, 4096, (slot + i) * 4096)
      }
      to.putSlots(chunk + done, granted, slot)
      done += granted
    }
  }

  function entries(of: DeltaFile): number[] {
    return Array.from({ length: CHUNKS }, (_, chunk) => of.map.get(chunk))
  }

  it('writes the header of the format, and the boot', async () => {
    const made = await opened({ epochAfter: 4 })
    await made.create()
    const bytes = fs.readFileSync(join(directory, 'd-5.map'))
    const golden = goldenHeader()
    // The salt is drawn, and the checksum follows from it.
    for (const [from, end] of [
      [88, 92],
      [4092, 4096]
    ] as const) {
      bytes.copy(golden, from, from, end)
    }
    expect(bytes.subarray(0, 4096).equals(golden)).toBe(true)
    expect(bytes.subarray(4096, 4098).toString('hex')).toBe('0404')
    expect(bytes.subarray(4108, 4124)).toEqual(BOOT_ID)
    // Type 6: a session is live.
    expect(bytes.subarray(4128, 4148).toString('hex')).toBe('0603000000000001' + '00000001' + '00000000' + 'ffffffff')
    expect(bytes).toHaveLength(4096 + 32 + 24)
  })

  it('reads files that the format describes', async () => {
    fs.writeFileSync(
      join(directory, 'd-5.map'),
      Buffer.concat([goldenHeader(), bootRecord(0), slotsRecord(1, 7, 2, 1), zeroRecord(2, 100, 50)])
    )
    fs.writeFileSync(join(directory, 'd-5.slots'), Buffer.alloc(3 * 4096))
    const found = await opened()
    expect([found.epoch, found.chunkSize, found.report.incarnation]).toEqual([5, 4096, 4])
    expect([found.map.get(7), found.map.get(8), found.map.get(100), found.map.get(9)]).toEqual([2, 3, ZERO, BASE])
    expect(found.bytesStored).toBe(2 * 4096)
    // Slot 0 is nobody's, but what no barrier covers may have it.
    expect(found.takeSlots(200, 1)).toBe(3)
    await found.flush()
    expect(found.takeSlots(200, 1)).toBe(0)
  })

  it('is made once by many who ask', async () => {
    const made = await opened()
    await Promise.all([made.create(), made.create(), made.create()])
    await made.create()
    expect(fs.readdirSync(directory).sort()).toEqual(['d-1.map', 'd-1.slots'])
  })

  it('leaves nothing when it cannot be made', async () => {
    const made = await opened({ directory: join(directory, 'nowhere') })
    const failing = made.create().then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(failing).resolves.toBe('ENOENT')
    expect(made.exists).toBe(false)
  })

  it('finds its map again after a close, and after a death without one', async () => {
    const first = await opened()
    await first.create()
    put(first, 3, 4)
    first.putZeroes(5, 100)
    first.commit()
    const wanted = entries(first)
    // The files as they are now are what a killed process leaves.
    const dead = fs.mkdtempSync(join(QUICK_DIRECTORY, 'dead-'))
    fs.cpSync(directory, dead, { recursive: true })
    expect(entries(await opened())).toEqual(wanted)
    const risen = await DeltaFile.open(options({ directory: dead }))
    expect(entries(risen)).toEqual(wanted)
    await risen.close()
    fs.rmSync(dead, { recursive: true })
  })

  it('lets others have a turn while it looks for the groups of a map that it has read back', async () => {
    const before = await opened()
    await before.create()
    for (const chunk of [1, 7, 3, 15]) put(before, chunk, 1)
    before.commit()
    const again = await opened()
    const rests = jest.spyOn(Slices.prototype, 'rest')
    const over = jest.spyOn(Slices.prototype, 'over', 'get').mockReturnValue(true)
    try {
      await again.wake(HEADER.incarnation + 1)
      await again.flush()
      expect(rests).toHaveBeenCalledTimes(1)
    } finally {
      over.mockRestore()
      rests.mockRestore()
    }
    // The third chunk had opened a group, whose other places are for its neighbours.
    expect(again.slots.isKept(again.map.get(3) - 1 + 1)).toBe(true)
  })

  it('drops what was not flushed when the machine was booted since, and says so', async () => {
    const first = await opened()
    await first.create()
    put(first, 3, 1)
    first.commit()
    await first.flush()
    const flushed = entries(first)
    put(first, 9, 1)
    first.commit()
    const dead = fs.mkdtempSync(join(QUICK_DIRECTORY, 'dead-'))
    fs.cpSync(directory, dead, { recursive: true })
    for (let boots = 1; boots <= 3; boots++) {
      const risen = await DeltaFile.open(options({ directory: dead, bootId: Buffer.alloc(16, boots) }))
      expect(entries(risen)).toEqual(flushed)
      expect(risen.report.replay).toMatchObject({ otherBoot: true, recordsDropped: boots === 1 ? 1 : 0 })
      await risen.release()
    }
    fs.rmSync(dead, { recursive: true })
  })

  it('keeps everything over a boot when it was closed', async () => {
    const first = await opened()
    await first.create()
    put(first, 3, 5)
    first.commit()
    const wanted = entries(first)
    expect(entries(await opened({ bootId: OTHER_BOOT }))).toEqual(wanted)
  })

  it('cuts off a torn end at every byte, and the next records follow there', async () => {
    const first = await opened()
    await first.create()
    put(first, 3, 1)
    first.commit()
    const before = entries(first)
    put(first, 9, 1)
    first.commit()
    await first.release()
    const map = fs.readFileSync(join(directory, 'd-1.map'))
    for (let cut = 1; cut <= 24; cut++) {
      fs.writeFileSync(join(directory, 'd-1.map'), map.subarray(0, map.length - cut))
      const risen = await opened()
      expect(entries(risen)).toEqual(before)
      expect(risen.report.replay!.tornBytes).toBe(24 - cut)
      put(risen, 20, 1)
      risen.commit()
      const wanted = entries(risen)
      await risen.release()
      const again = await opened()
      expect(entries(again)).toEqual(wanted)
      expect(again.report.replay!.tornBytes).toBe(0)
      await again.release()
    }
  })

  it.each([
    ['another UUID', { uuid: 'ff112233-4455-6677-8899-aabbccddeeff' }],
    ['another generation', { generation: 4 }],
    ['another size', { size: 0x200000 }],
    ['another time of change', { mtimeNs: 1n }],
    ['another inode', { inode: 1n }]
  ])('is lost when its base has %s', async (_title, change) => {
    await (await opened()).create()
    await expect(codeOfOpen({ base: { ...HEADER.base, ...change } })).resolves.toBe('ERR_ISCSI_DELTA_FINGERPRINT')
    await expect(codeOfOpen({})).resolves.toBe('no error')
  })

  it.each([
    ['another target', { target: 'iqn.x' }],
    ['another initiator', { initiator: 'iqn.x' }],
    ['another unit', { lun: 9 }],
    ['another CHAP user', { chapUser: 'eve' }],
    ['no CHAP user', { chapUser: '' }]
  ])('is not given to %s', async (_title, change) => {
    await (await opened()).create()
    await expect(codeOfOpen({ owner: { ...HEADER.owner, ...change } })).resolves.toBe('ERR_ISCSI_DELTA_OWNER')
  })

  it.each([
    ['the slot file is missing', () => fs.rmSync(join(directory, 'd-1.slots'))],
    ['the slot file is short', () => fs.truncateSync(join(directory, 'd-1.slots'), 2 * 4096 - 1)],
    ['the map is empty', () => fs.truncateSync(join(directory, 'd-1.map'), 0)],
    ['the header is cut', () => fs.truncateSync(join(directory, 'd-1.map'), 4000)],
    ['the first record is cut', () => fs.truncateSync(join(directory, 'd-1.map'), 4096 + 31)],
    ['a bit of the header is wrong', () => flip(join(directory, 'd-1.map'), 60)],
    ['a bit of a record in the middle is wrong', () => flip(join(directory, 'd-1.map'), 4096 + 40)]
  ])('is lost when %s, and its files are left as they are', async (_title, damage) => {
    const first = await opened()
    await first.create()
    put(first, 1, 1)
    first.commit()
    put(first, 9, 1)
    await first.close()
    damage()
    const before = directoryState()
    await expect(codeOfOpen({})).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
    expect(directoryState()).toEqual(before)
  })

  it('is lost when two chunks claim one slot', async () => {
    fs.writeFileSync(
      join(directory, 'd-5.map'),
      Buffer.concat([goldenHeader(), bootRecord(0), slotsRecord(1, 7, 2, 0), slotsRecord(2, 20, 1, 1)])
    )
    fs.writeFileSync(join(directory, 'd-5.slots'), Buffer.alloc(2 * 4096))
    await expect(codeOfOpen({})).resolves.toBe('ERR_ISCSI_DELTA_UNREADABLE')
  })

  describe('when chunks are copied', () => {
    /** Chunks 3 to 5 in slots 0 to 2, chunk 6 reads as zeroes, 7 is the base's. */
    async function begun(more: Partial<DeltaOptions> = {}): Promise<DeltaFile> {
      const made = await opened(more)
      await made.create()
      put(made, 3, 3)
      made.putZeroes(6, 1)
      made.commit()
      return made
    }

    it('journals slots as shared, chunks of the base by number, and zeroes and the way back as what they are', async () => {
      const made = await begun()
      expect(made.copyChunks(3, 100, 5)).toBe(5)
      expect(made.copyChunks(104, 7, 1)).toBe(1)
      expect(made.copyChunks(104, 200, 1)).toBe(1)
      made.commit()
      const records = [
        sharedRecord(4, 100, 3, 0),
        zeroRecord(5, 103, 1),
        copiedRecord(6, 104, 1, 7),
        baseRecord(7, 7, 1),
        copiedRecord(8, 200, 1, 7)
      ]
      const written = fs.readFileSync(join(directory, 'd-1.map')).subarray(-5 * 24)
      // The checksums begin with a salt that was drawn.
      for (const [i, wanted] of records.entries()) {
        expect(written.subarray(i * 24, i * 24 + 20).toString('hex')).toBe(wanted.subarray(0, 20).toString('hex'))
      }
      expect([100, 101, 102, 103, 104, 200, 7].map((chunk) => made.map.get(chunk))).toEqual([
        1,
        2,
        3,
        ZERO,
        COPIED + 7,
        COPIED + 7,
        BASE
      ])
    })

    it('stores nothing for it, and gives a slot back with its last chunk', async () => {
      const made = await begun()
      made.copyChunks(3, 100, 3)
      made.copyChunks(100, 200, 56)
      made.commit()
      expect(made.bytesStored).toBe(3 * 4096)
      for (const chunk of [3, 100]) made.putZeroes(chunk, 3)
      made.commit()
      expect(made.bytesStored).toBe(3 * 4096)
      made.putZeroes(200, 2)
      made.commit()
      expect(made.bytesStored).toBe(4096)
      await made.flush()
      // The two are given out again, and belong to one chunk then.
      put(made, 50, 2)
      made.commit()
      expect([made.slots.highWater, made.bytesStored]).toEqual([3, 3 * 4096])
      expect([50, 51, 202].map((chunk) => made.writesInPlace(made.map.get(chunk)))).toEqual([true, true, false])
    })

    it('does not write in place what was ever shared, however it is opened again', async () => {
      const made = await begun({ compactionBytesMin: 0 })
      made.copyChunks(3, 100, 2)
      made.putZeroes(100, 2)
      made.commit()
      await made.idle()
      expect(made.compactions).toBeGreaterThan(0)
      const inPlace = (of: DeltaFile) => [3, 4, 5].map((chunk) => of.writesInPlace(of.map.get(chunk)))
      expect(inPlace(made)).toEqual([false, false, true])
      expect(inPlace(await opened())).toEqual([false, false, true])
      expect(inPlace(await opened({ bootId: OTHER_BOOT }))).toEqual([false, false, true])
    })

    it('is undone by a commit that fails, with what was written over it', async () => {
      const budget = new SpaceBudget()
      const made = await begun({ budget })
      made.copyChunks(3, 100, 3)
      made.commit()
      const [before, used, stored] = [entries(made), budget.usedBytes, made.bytesStored]
      made.putZeroes(3, 2)
      put(made, 100, 2)
      made.copyChunks(100, 20, 4)
      made.putZeroes(100, 3)
      made.copyChunks(5, 21, 3)
      const original = fs.writeSync
      fs.writeSync = () => {
        throw Object.assign(new Error('injected'), { code: 'EIO' })
      }
      try {
        expect(codeOf(thrown(() => made.commit()))).toBe('EIO')
      } finally {
        fs.writeSync = original
      }
      expect([entries(made), budget.usedBytes, made.bytesStored]).toEqual([before, used, stored])
      // Every count is what it was: both chunks of a slot have to leave it before it is free.
      made.putZeroes(100, 3)
      made.commit()
      expect(made.bytesStored).toBe(stored)
      made.putZeroes(3, 3)
      made.commit()
      expect(made.bytesStored).toBe(0)
    })

    it('leaves to a copy of data the chunks of a base that no entry can name', async () => {
      const base = { ...HEADER.base, size: 3 * 2 ** 42 }
      const made = await opened({ base })
      await made.create()
      const last = 0x7ffffffd
      expect(made.copyChunks(last - 1, 0, 2)).toBe(2)
      expect([made.map.get(0), made.map.get(1)]).toEqual([0xfffffffd, 0xfffffffe].map((entry) => entry - 1))
      expect(made.copyChunks(last, 0, 2)).toBe(0)
      expect(made.copyChunks(2 ** 31 + 5, 0, 2)).toBe(0)
    })
  })

  it('takes a new epoch above every file that is there', async () => {
    fs.writeFileSync(join(directory, 'd-8.slots'), 'rest of a restore')
    const made = await opened({ epochAfter: 3 })
    expect(made.epoch).toBe(9)
    expect(made.report.leftovers).toEqual([join(directory, 'd-8.slots')])
    await made.create()
    expect(fs.readFileSync(join(directory, 'd-8.slots'), 'utf8')).toBe('rest of a restore')
  })

  it('writes a barrier behind the data and syncs the map behind the barrier', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 1)
    made.commit()
    await made.flush()
    const barrier = fs.readFileSync(join(directory, 'd-1.map')).subarray(4096 + 32 + 24 + 24)
    // Type 5, number 3, covers number 2; the medium has the journal up to number 1.
    expect(barrier.subarray(0, 20).toString('hex')).toBe('0503000000000000' + '00000003' + '00000002' + '00000001')
  })

  it('does not cover with the barrier what is committed while the data are being synced', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 1)
    made.commit()
    const wanted = entries(made)
    const { handle } = made.slotFile
    const original = handle.datasync.bind(handle)
    handle.datasync = () => {
      put(made, 9, 1)
      made.commit()
      return original()
    }
    await made.flush()
    await made.release()
    expect(entries(await opened({ bootId: OTHER_BOOT }))).toEqual(wanted)
  })

  it('fails every flush after one that failed', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 1)
    made.commit()
    const { handle } = made.slotFile
    const original = handle.datasync.bind(handle)
    handle.datasync = () => Promise.reject(Object.assign(new Error('injected'), { code: 'EIO' }))
    const outcome = (): Promise<string> =>
      made.flush().then(
        () => 'no error',
        (error: { code: string }) => error.code
      )
    await expect(outcome()).resolves.toBe('EIO')
    handle.datasync = original
    await expect(outcome()).resolves.toBe('EIO')
    const again = await opened()
    await expect(again.flush()).resolves.toBeUndefined()
  })

  it('is not suspect after a power cut when its sessions had ended, and none of that is lost by a compaction', async () => {
    const made = await opened({ compactionBytesMin: 60 })
    await made.create()
    put(made, 1, 1)
    made.commit()
    await made.idle()
    expect(made.compactions).toBe(1)
    // Behind the snapshot there is a barrier of 24 bytes; the flush adds another one, and the mark comes to 72.
    await made.rest()
    await made.idle()
    const copy = join(directory, 'copy')
    fs.mkdirSync(copy)
    for (const name of ['d-1.map', 'd-1.slots']) fs.copyFileSync(join(directory, name), join(copy, name))
    const again = await opened({ directory: copy, bootId: OTHER_BOOT })
    expect(again.report.replay).toMatchObject({ otherBoot: true, suspect: false })
  })

  it('takes no session after a flush that failed, so that no mark of one hides the failure from who opens it next', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 1)
    made.commit()
    await made.rest()
    put(made, 9, 1)
    made.commit()
    made.slotFile.handle.datasync = () => Promise.reject(Object.assign(new Error('injected'), { code: 'EIO' }))
    await expect(made.flush()).rejects.toThrow('injected')
    await expect(made.wake(1)).rejects.toMatchObject({ code: 'EIO' })
    await made.release()
    const again = await opened()
    expect(again.report.replay).toMatchObject({ suspect: true, untrusted: true, recordsDropped: 1 })
    expect([1, 9].map((chunk) => again.map.get(chunk))).toEqual([1, BASE])
  })

  it('covers with a flush what was committed before it was asked for, though another was under way', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 1)
    made.commit()
    const first = made.flush()
    await new Promise((resolve) => setImmediate(resolve))
    put(made, 9, 1)
    made.commit()
    await Promise.all([first, made.flush()])
    const wanted = entries(made)
    await made.release()
    expect(entries(await opened({ bootId: OTHER_BOOT }))).toEqual(wanted)
  })

  it('puts a delta without files into the bin without complaint', async () => {
    const made = await opened()
    const retired = await made.retire(directory)
    expect(retired.bytesStored).toBe(0)
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('moves both files or none', async () => {
    const made = await opened()
    await made.create()
    fs.rmSync(join(directory, 'd-1.slots'))
    const failing = made.retire(directory).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(failing).resolves.toBe('ENOENT')
    expect(fs.readdirSync(directory)).toEqual(['d-1.map'])
  })

  describe('when its journal is long', () => {
    for (const seed of [1, 2, 3].map(seedOf)) {
      it(`writes it anew beside the work, and finds the same map in it (seed ${seed})`, async () => {
        const random = new Random(seed)
        let made = await opened({ compactionBytesMin: 5000 })
        await made.create()
        let longest = 0
        let compactions = 0
        for (let step = 0; step < 3000; step++) {
          const chunk = random.int(CHUNKS)
          const count = Math.min(CHUNKS - chunk, 1 + random.int(8))
          if (random.chance(0.5)) made.putZeroes(chunk, count)
          else putNew(made, chunk, count)
          if (random.chance(0.7)) made.commit()
          if (random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve))
          if (random.chance(0.01)) await made.flush()
          longest = Math.max(longest, made.journalBytes)
          if (!random.chance(0.005)) continue
          made.commit()
          const wanted = entries(made)
          await made.idle()
          expect(entries(made)).toEqual(wanted)
          if (random.chance(0.5)) await made.flush()
          await made.release()
          compactions += made.compactions
          made = await opened({ compactionBytesMin: 5000 })
          expect(entries(made)).toEqual(wanted)
        }
        await made.idle()
        expect(made.compactionError).toBeUndefined()
        expect(compactions + made.compactions).toBeGreaterThan(0)
        // Without a compaction it would have been some 80000.
        expect(longest).toBeLessThan(60_000)
      })
    }

    it('keeps everything over a boot that comes right behind a flush', async () => {
      const made = await opened({ compactionBytesMin: 5000 })
      await made.create()
      for (let i = 0; i < 600; i++) {
        putNew(made, i % 50, 1)
        made.putZeroes(i % 50, 1)
        made.commit()
      }
      putNew(made, 77, 2)
      made.commit()
      await made.idle()
      expect(made.compactions).toBe(1)
      await made.flush()
      const wanted = entries(made)
      await made.release()
      expect(entries(await opened({ bootId: OTHER_BOOT }))).toEqual(wanted)
    })

    it('does not come back from the bin when the new one is all but in place', async () => {
      const bin = join(directory, 'bin')
      fs.mkdirSync(bin)
      const made = await opened({ compactionBytesMin: 5000 })
      await made.create()
      const { handle } = made.slotFile
      const original = handle.datasync.bind(handle)
      const retiring = new Promise<void>((resolve, reject) => {
        handle.datasync = async () => {
          await made.retire(bin).then(() => resolve(), reject)
          return original()
        }
      })
      for (let i = 0; i < 110; i++) {
        putNew(made, i % 50, 1)
        made.putZeroes(i % 50, 1)
        made.commit()
      }
      await retiring
      await made.release()
      expect(fs.readdirSync(directory)).toEqual(['bin'])
      expect(fs.readdirSync(bin)).toHaveLength(2)
      expect([made.compactions, made.compactionError]).toEqual([0, undefined])
    })

    it('does not come back from the bin', async () => {
      const bin = join(directory, 'bin')
      fs.mkdirSync(bin)
      const made = await opened({ compactionBytesMin: 5000 })
      await made.create()
      for (let i = 0; i < 300; i++) {
        putNew(made, i % 50, 1)
        made.putZeroes(i % 50, 1)
        made.commit()
      }
      await made.retire(bin)
      await made.release()
      expect(fs.readdirSync(directory)).toEqual(['bin'])
      expect(fs.readdirSync(bin)).toHaveLength(2)
    })

    it('keeps the old journal when the new one cannot be written', async () => {
      const made = await opened({ compactionBytesMin: 5000 })
      await made.create()
      fs.mkdirSync(join(directory, 'd-1.map.new'))
      for (let i = 0; i < 300; i++) {
        putNew(made, i % 50, 1)
        made.putZeroes(i % 50, 1)
        made.commit()
      }
      await made.idle()
      expect(codeOf(made.compactionError)).toBe('EISDIR')
      const wanted = entries(made)
      fs.rmdirSync(join(directory, 'd-1.map.new'))
      expect(entries(await opened())).toEqual(wanted)
    })

    /** Only chunks without a slot get a new one. */
    function putNew(to: DeltaFile, chunk: number, count: number): void {
      for (let i = chunk; i < chunk + count; i++) {
        const entry = to.map.get(i)
        if (entry === BASE || entry === ZERO) put(to, i, 1)
      }
    }
  })

  it('refuses a chunk size that is none', async () => {
    await expect(DeltaFile.open(options({ chunkSize: 5000 }))).rejects.toThrow(/chunk size/)
  })

  it('throws what the journal throws, and undoes everything since the last commit', async () => {
    const made = await opened()
    await made.create()
    put(made, 1, 3)
    made.commit()
    const before = entries(made)
    const original = fs.writeSync
    put(made, 10, 2)
    made.putZeroes(0, 200)
    put(made, 100, 1)
    fs.writeSync = () => {
      throw Object.assign(new Error('injected'), { code: 'ENOSPC' })
    }
    try {
      expect(codeOf(thrown(() => made.commit()))).toBe('ENOSPC')
    } finally {
      fs.writeSync = original
    }
    expect(entries(made)).toEqual(before)
    expect(made.slots.usedCount).toBe(3)
    expect(entries(await opened())).toEqual(before)
  })

  function codeOfOpen(more: Partial<DeltaOptions>): Promise<string> {
    return opened(more).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
  }

  function directoryState(): [string, number][] {
    return fs.readdirSync(directory).map((name) => [name, fs.statSync(join(directory, name)).size])
  }
})

function flip(path: string, offset: number): void {
  const bytes = fs.readFileSync(path)
  bytes[offset]! ^= 4
  fs.writeFileSync(path, bytes)
}
