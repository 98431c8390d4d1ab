import { describe, expect, it } from '@jest/globals'
import { abortTasks } from '../../lib/scsi/task-manager.js'
import { Random } from '../support/random.js'
import { FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../support/scsi.js'

const IMMED = 0x80
const AUSE = 0x20
const IN_PROGRESS = '02/04/1b'
const FAILED = '03/31/03'
const TEST_UNIT_READY = '00 00 00 00 00 00'
const Action = { Overwrite: 1, BlockErase: 2, CryptographicErase: 3, ExitFailureMode: 0x1f }

function cdbOf(serviceAction: number, length = 0, flags = 0): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x48
  cdb[1] = flags | serviceAction
  cdb.writeUInt16BE(length, 7)
  return cdb
}

/** SBC-3 table 75. */
function overwriteList(pattern: Buffer, passes = 1, flags = 0, length = pattern.length): Buffer {
  return Buffer.concat([Buffer.from([flags | passes, 0, length >>> 8, length & 0xff]), pattern])
}

function bench(blocks = 1024) {
  const volume = new FakeVolume(blocks * 512)
  new Random(48).bytes(volume.bytes)
  volume.mapped.fill(true)
  const unit = makeUnit({ volume, maySanitize: true, overwriteBytesPerSecond: Infinity })
  const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
  return { host: new Host(), volume, unit, one, two }
}

function overwrite(host: Host, nexus: ReturnType<typeof makeNexus>, list: Buffer, flags = 0) {
  return host.execute(nexus, cdbOf(Action.Overwrite, list.length, flags), { dataOut: list })
}

describe('SANITIZE', () => {
  it.each(['BlockErase', 'CryptographicErase'] as const)('%s leaves zeroes and nothing stored', async (action) => {
    const { host, volume, one } = bench()
    expect((await host.execute(one, cdbOf(Action[action]))).status).toBe(0)
    expect(volume.bytes.equals(Buffer.alloc(volume.size))).toBe(true)
    expect(volume.mapped).not.toContain(true)
    expect(volume.calls.at(-1)).toBe('flush')
    expect((await host.execute(one, TEST_UNIT_READY)).status).toBe(0)
  })

  it.each([
    ['a pattern of a whole block', Buffer.alloc(512, 0xaa), Buffer.alloc(512, 0xaa)],
    ['a shorter one, again and again', Buffer.from([1, 2, 3]), Buffer.alloc(512, Buffer.from([1, 2, 3]))]
  ])('overwrites every block with %s', async (_what, pattern, block) => {
    const { host, volume, one } = bench(2048)
    expect((await overwrite(host, one, overwriteList(pattern))).status).toBe(0)
    expect(volume.bytes.equals(Buffer.alloc(volume.size, block))).toBe(true)
  })

  it.each([
    [1, 0x5a],
    [2, 0x5a],
    [3, 0x5a]
  ])('inverts so that the last of %d passes writes the pattern itself', async (passes, last) => {
    const { host, volume, one } = bench(8)
    const seen: number[] = []
    const store = volume.tryWrite.bind(volume)
    volume.tryWrite = (buffer, start, length, offset) => {
      seen.push(buffer[start]!)
      return store(buffer, start, length, offset)
    }
    await overwrite(host, one, overwriteList(Buffer.alloc(512, last), passes, 0x80))
    const inverse = ~last & 0xff
    expect(seen).toEqual(Array.from({ length: passes }, (_, pass) => ((passes - 1 - pass) % 2 === 1 ? inverse : last)))
  })

  it('refuses all but a few commands to every nexus while it runs, and says how far it is', async () => {
    const { host, volume, unit, one, two } = bench()
    volume.refusing = volume.stalled = true
    expect((await host.execute(one, cdbOf(Action.BlockErase, 0, IMMED))).status).toBe(0)
    for (const nexus of [one, two]) {
      const refused = await host.execute(nexus, TEST_UNIT_READY)
      expect([refused.sense, refused.senseBytes![15]]).toEqual([IN_PROGRESS, 0x80])
      expect((await host.execute(nexus, '28 00 00000000 00 0001 00')).sense).toBe(IN_PROGRESS)
      expect((await host.execute(nexus, '1b 00 0000 00 00')).sense).toBe(IN_PROGRESS)
      expect((await host.execute(nexus, '12 00 00 0024 00')).status).toBe(0)
      expect((await host.execute(nexus, '03 00 0000 12 00')).data.subarray(0, 14).toString('hex')).toMatch(
        /^7000020000000000?.*041b$/
      )
    }
    expect((await host.execute(two, cdbOf(Action.BlockErase))).sense).toBe(IN_PROGRESS)
    volume.release()
    await unit.sanitize!.ended
    expect((await host.execute(two, TEST_UNIT_READY)).status).toBe(0)
  })

  it('goes on when the task that asked for it is aborted, which it does not hold up', async () => {
    const { host, volume, unit, one } = bench()
    volume.refusing = volume.stalled = true
    const task = host.make(one, cdbOf(Action.BlockErase))
    host.server.start(task)
    const left = new Promise<void>((resolve) => abortTasks(unit, [task], resolve))
    await host.complete(task)
    host.server.release(task)
    await left
    const operation = unit.sanitize!
    expect(operation.failed).toBe(false)
    volume.release()
    volume.refusing = false
    await operation.ended
    expect(volume.mapped).not.toContain(true)
  })

  it('waits for the writes that are under way, so that none lands behind it', async () => {
    const { host, volume, unit, one } = bench()
    volume.refusing = volume.stalled = true
    const write = host.execute(one, '2a 00 00000000 00 0001 00', { dataOut: Buffer.alloc(512, 0x77) })
    const erase = host.execute(one, cdbOf(Action.BlockErase))
    expect(volume.calls).toEqual(['write 0+512'])
    volume.refusing = false
    volume.release()
    expect((await write).status).toBe(0)
    expect((await erase).status).toBe(0)
    expect(volume.bytes.equals(Buffer.alloc(volume.size))).toBe(true)
    expect(unit.sanitize).toBeUndefined()
  })

  it.each([
    [AUSE, 0],
    [0, Sense.InvalidCdbField]
  ])('stays failed until another one ends well; EXIT FAILURE MODE after flags %d: %s', async (flags, outcome) => {
    const { host, volume, one } = bench()
    volume.broken.set('unmap', 'EIO')
    expect((await host.execute(one, cdbOf(Action.BlockErase, 0, flags))).sense).toBe(FAILED)
    expect((await host.execute(one, TEST_UNIT_READY)).sense).toBe(FAILED)
    const exit = await host.execute(one, cdbOf(Action.ExitFailureMode))
    expect(exit.sense ?? exit.status).toBe(outcome)
    volume.broken.clear()
    expect((await host.execute(one, cdbOf(Action.CryptographicErase))).status).toBe(0)
    expect((await host.execute(one, TEST_UNIT_READY)).status).toBe(0)
  })

  it('EXIT FAILURE MODE is good when nothing has failed', async () => {
    const { host, one } = bench()
    expect((await host.execute(one, cdbOf(Action.ExitFailureMode))).status).toBe(0)
  })

  it('ends where it is when the unit is given up', async () => {
    const { host, volume, unit, one } = bench(64 * 1024 * 2)
    await overwrite(host, one, overwriteList(Buffer.alloc(512, 0xee)), IMMED)
    await unit.end()
    const writes = volume.calls.length
    await new Promise((resolve) => setImmediate(resolve))
    expect(volume.calls).toHaveLength(writes)
    expect(unit.sanitize).toBeUndefined()
  })

  it.each([
    ['a parameter list with an erase', Action.BlockErase, 8, Buffer.alloc(8), 'cdb byte 7'],
    ['a parameter list with EXIT FAILURE MODE', Action.ExitFailureMode, 8, Buffer.alloc(8), 'cdb byte 7'],
    ['an overwrite without a pattern', Action.Overwrite, 4, overwriteList(Buffer.alloc(0)), 'cdb byte 7'],
    ['an overwrite of no list at all', Action.Overwrite, 0, Buffer.alloc(0), 'cdb byte 7'],
    ['a pattern longer than a block', Action.Overwrite, 517, overwriteList(Buffer.alloc(513)), 'cdb byte 7'],
    ['no passes', Action.Overwrite, 8, overwriteList(Buffer.alloc(4), 0), 'list byte 0 bit 4'],
    ['vendor specific TEST bits', Action.Overwrite, 8, overwriteList(Buffer.alloc(4), 1, 0x20), 'list byte 0 bit 6'],
    ['a pattern length of 0', Action.Overwrite, 8, overwriteList(Buffer.alloc(4), 1, 0, 0), 'list byte 2'],
    [
      'a pattern length of more than the list',
      Action.Overwrite,
      8,
      overwriteList(Buffer.alloc(4), 1, 0, 5),
      'list byte 2'
    ],
    ['a reserved service action', 4, 0, Buffer.alloc(0), 'cdb byte 1 bit 4'],
    ['ZNR, which is of a later standard', 0x40 | Action.BlockErase, 0, Buffer.alloc(0), 'cdb byte 1 bit 6']
  ])('refuses %s, and wipes nothing', async (_what, action, length, dataOut, pointer) => {
    const { host, volume, one } = bench()
    const result = await host.execute(one, cdbOf(action, length), { dataOut })
    expect(fieldPointer(result.senseBytes)).toBe(pointer)
    expect(volume.calls).toEqual([])
  })

  it('is refused on a write-protected unit, under a reservation of another, and where it is not allowed', async () => {
    const { host, unit, one, two } = bench()
    unit.reservations.reserve(two)
    expect((await host.execute(one, cdbOf(Action.BlockErase))).status).toBe(0x18)
    unit.reservations.release(two)
    unit.softwareWriteProtect = true
    expect((await host.execute(one, cdbOf(Action.BlockErase))).sense).toBe(Sense.WriteProtected)
    const plain = makeNexus([makeUnit()])
    expect((await host.execute(plain, cdbOf(Action.BlockErase))).sense).toBe(Sense.InvalidOpcode)
  })

  it('says in VPD page B1h that reads are good afterwards', async () => {
    const { host, one } = bench()
    expect((await host.execute(one, '12 01 b1 0040 00')).data[7]).toBe(0x50)
    expect((await host.execute(makeNexus([makeUnit()]), '12 01 b1 0040 00')).data[7]).toBe(0x00)
  })
})
