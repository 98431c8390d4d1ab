import { afterEach, describe, expect, it } from '@jest/globals'
import {
  CONTROL_QUEUE_MAX,
  LOGIN_TIME_MS,
  PING_AFTER_MS,
  PING_TIME_MS,
  STALLED_OUTPUT_MS,
  TURN_PDUS_MAX
} from '../../lib/iscsi/limits.js'
import { BATCH_LENGTH, BUFFERS_PER_WRITER_MAX, LONG_BATCH_LENGTH } from '../../lib/pdu/writer.js'
import { AssertionError } from '../../lib/util/assert.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { IPXE, OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf, steps } from '../support/random.js'
import { begin, BLOCK, commandHeader, read10, sendRaw, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../support/test-target.js'

const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return login()
}

function login(initiatorName?: string, isid?: string): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    ...(initiatorName !== undefined && { initiatorName }),
    ...(isid !== undefined && { isid })
  })
}

/** A connection lacks room for its output: a long read that only lets others have their turn is stopped as well. */
function outputIsFull(): boolean {
  return (target.group.buffers as unknown as { waiting: Set<unknown> }).waiting.size > 0
}

describe.each([true, false])('a connection with positioned reads: %s', (positionedReads) => {
  it('gives back what was written', async () => {
    const initiator = await start({ positionedReads })
    const data = new Random(seedOf(1)).bytes(Buffer.alloc(1 << 20))
    await initiator.command(write10(8, 2048), { write: data })
    const outcome = await initiator.command(read10(8, 2048), { read: data.length })
    expect(outcome.status).toBe(0)
    expect(outcome.data.equals(data)).toBe(true)
    await initiator.leave()
  })

  it('does everything that came before a FIN, however much of it waits', async () => {
    const initiator = await start({ positionedReads })
    const { cmdSn, expStatSn } = initiator
    const pdu = (opcode: number, tag: number, data?: Buffer) => {
      const bhs = Buffer.alloc(48)
      bhs[0] = opcode
      bhs[1] = 0x80
      for (const [index, field] of [tag, 0xffffffff, cmdSn, expStatSn].entries())
        bhs.writeUInt32BE(field, 16 + 4 * index)
      return initiator.frame(bhs, data)
    }
    const pings = Array.from({ length: 3 * TURN_PDUS_MAX }, () => pdu(0x40, 0xffffffff))
    const write = commandHeader(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK })
    const logout = pdu(0x46, 0x77)
    initiator.socket.end(Buffer.concat([...pings, initiator.frame(write, Buffer.alloc(BLOCK, 7)), logout]))
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end).toEqual({ kind: 'logout', reason: 0 })
    const next = await login()
    expect((await next.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK, 7))
    await next.leave()
  })

  it.each([seedOf(1), seedOf(2)])('does everything that a flood of mixed commands asks (seed %i)', async (seed) => {
    const initiator = await start({ positionedReads })
    const random = new Random(seed)
    const model = Buffer.alloc(8 << 20)
    const running: Promise<void>[] = []
    const free = random.shuffle(Array.from({ length: 64 }, (_, index) => index))
    for (let count = 0; count < steps(300); count++) {
      if (free.length === 0) await Promise.race(running)
      // A region of 128 KiB belongs to one command at a time, so that the model knows the order.
      const region = free.pop()!
      const blocks = 1 + random.int(random.chance(0.2) ? 256 : 16)
      const lba = region * 256 + random.int(257 - blocks)
      const place = model.subarray(lba * BLOCK, (lba + blocks) * BLOCK)
      const work = async () => {
        if (random.chance(0.5)) {
          random.bytes(place)
          expect((await initiator.command(write10(lba, blocks), { write: Buffer.from(place) })).status).toBe(0)
        } else {
          const outcome = await initiator.command(read10(lba, blocks), { read: place.length })
          expect(outcome.data.equals(place)).toBe(true)
        }
        free.push(region)
      }
      const one = work().then(() => void running.splice(running.indexOf(one), 1))
      running.push(one)
    }
    await Promise.all(running)
    expect((await initiator.command(read10(0, 16384), { read: model.length })).data.equals(model)).toBe(true)
    await initiator.leave()
  })

  it('takes more PDUs in one segment than a turn handles', async () => {
    const initiator = await start({ positionedReads })
    const tags: number[] = []
    const bytes: Buffer[] = []
    for (let index = 0; index < 3 * TURN_PDUS_MAX; index++) {
      const bhs = Buffer.alloc(48)
      bhs[0] = 0x40
      bhs[1] = 0x80
      bhs.writeUInt32BE(index, 16)
      bhs.writeUInt32BE(0xffffffff, 20)
      tags.push(index)
      bytes.push(initiator.frame(bhs, Buffer.alloc(index % 7)))
    }
    await initiator.send(Buffer.concat(bytes))
    for (const tag of tags) expect((await initiator.receive()).bhs.readUInt32BE(16)).toBe(tag)
    // What comes after the turns that consumed all of it lands where it belongs.
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})

describe('an initiator that asks for more than it reads', () => {
  it('is answered no further than its output goes, and others are served; then it gets everything', async () => {
    const initiator = await start()
    const data = new Random(seedOf(9)).bytes(Buffer.alloc(2 << 20))
    for (let at = 0; at < data.length; at += 1 << 20) {
      const write = data.subarray(at, at + (1 << 20))
      expect((await initiator.command(write10(at / BLOCK, 2048), { write })).status).toBe(0)
    }
    initiator.socket.pause()
    // A quarter of a gigabyte.
    const tags: number[] = []
    for (let index = 0; index < 128; index++) {
      tags.push(await begin(initiator, read10(0, 4096), { flags: 0xc1, edtl: data.length }))
    }
    const connection = target.connections[0]!
    await target.until(outputIsFull)
    const other = await login('iqn.2010-04.org.example:other')
    for (let count = 0; count < 20; count++) {
      expect((await other.command(read10(0, 8), { read: 4096 })).data.equals(data.subarray(0, 4096))).toBe(true)
    }
    expect(connection.socket.waitingBytes).toBeLessThanOrEqual(
      LONG_BATCH_LENGTH + BATCH_LENGTH * (BUFFERS_PER_WRITER_MAX - 1)
    )
    expect(target.group.buffers.used).toBeLessThanOrEqual(BUFFERS_PER_WRITER_MAX + 1)
    await other.leave()
    initiator.socket.resume()
    const outcome = await initiator.finish(tags[0]!, LUN_0)
    expect(outcome.data.equals(data)).toBe(true)
    await initiator.reset()
  })

  it('is cut when its answers cannot even be queued', async () => {
    const initiator = await start()
    initiator.socket.pause()
    for (let index = 0; index < 2; index++) await begin(initiator, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    const connection = target.connections[0]!
    await target.until(outputIsFull)
    // Reading is stopped, so the initiator alone cannot do this; the time limits could.
    for (let index = 0; index < CONTROL_QUEUE_MAX; index++) connection.ping()
    expect(connection.closed).toBe(false)
    connection.ping()
    expect(connection.closed).toBe(true)
    await target.until(() => target.ends.length === 1)
    initiator.socket.destroy()
  })

  it('is cut after a minute in which it took nothing and said nothing', async () => {
    const initiator = await start()
    initiator.socket.pause()
    for (let index = 0; index < 4; index++) await begin(initiator, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    const connection = target.connections[0]!
    await target.until(outputIsFull)
    const now = performance.now()
    connection.tick(now)
    connection.tick(now + STALLED_OUTPUT_MS - 100)
    expect(connection.closed).toBe(false)
    connection.tick(now + STALLED_OUTPUT_MS + 100)
    expect(connection.closed).toBe(true)
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end).toEqual({ kind: 'lost', cause: 'nothing read and nothing sent for a minute' })
    initiator.socket.destroy()
  })

  it('is not cut while it takes something, however slowly', async () => {
    const initiator = await start()
    initiator.socket.pause()
    for (let index = 0; index < 4; index++) await begin(initiator, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    const connection = target.connections[0]!
    await target.until(outputIsFull)
    const now = performance.now()
    connection.tick(now)
    const { sentBytes } = connection.socket
    initiator.socket.resume()
    await target.until(() => connection.socket.sentBytes > sentBytes)
    initiator.socket.pause()
    connection.tick(now + STALLED_OUTPUT_MS + 100)
    expect(connection.closed).toBe(false)
    await initiator.reset()
  })
})

describe('RFC 7143 §11.19: a NOP-In ping', () => {
  it('is sent after silence, shows the next StatSN, and is answered or not', async () => {
    const initiator = await start()
    const connection = target.connections[0]!
    const heard = connection.socket.lastReceivedAt
    connection.tick(heard + PING_AFTER_MS - 1)
    connection.tick(heard + PING_AFTER_MS + 1)
    const ping = await initiator.receiveOpcode(0x20)
    expect(ping.bhs.readUInt32BE(16)).toBe(0xffffffff)
    expect(ping.bhs.readUInt32BE(20)).not.toBe(0xffffffff)
    expect(ping.bhs.readUInt32BE(24)).toBe(initiator.expStatSn)
    await initiator.answerPing(ping)
    await initiator.nop()
    // It can answer, so the next one that it leaves unanswered counts.
    const later = connection.socket.lastReceivedAt + PING_AFTER_MS + 1
    connection.tick(later)
    await initiator.receiveOpcode(0x20)
    connection.tick(performance.now() + PING_TIME_MS - 1000)
    expect(connection.closed).toBe(false)
    connection.tick(performance.now() + PING_TIME_MS + 1)
    expect(connection.closed).toBe(true)
    await initiator.closed()
    expect(target.ends[0]!.end).toEqual({ kind: 'lost', cause: 'no answer to NOP-In' })
  })

  it('that an initiator never answers, such as iPXE, does not end its session', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: IPXE })
    const connection = target.connections[0]!
    for (let minutes = 1; minutes < 60; minutes++) connection.tick(performance.now() + minutes * 60_000)
    expect(connection.closed).toBe(false)
    await initiator.receiveOpcode(0x20)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    // Only one ping is under way at a time.
    await expect(
      Promise.race([initiator.receiveOpcode(0x20), initiator.nop().then(() => 'none')])
    ).resolves.toBeDefined()
    await initiator.leave()
  })

  it('does not count while we do not listen: neither for memory nor behind output that is taken slowly', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults, stagingBytes: 4096 })
    const connection = target.connections[0]!
    connection.ping()
    await initiator.answerPing(await initiator.receiveOpcode(0x20))
    await initiator.nop()
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const ones = { write: Buffer.alloc(4096, 1) }
    const writes = [initiator.command(write10(0, 8), ones), initiator.command(write10(8, 8), ones)]
    await target.until(() => faults.held === 1 && connection.stopped)
    connection.ping()
    connection.tick(performance.now() + 2 * PING_TIME_MS)
    expect(connection.closed).toBe(false)
    faults.clear()
    faults.releaseAll()
    for (const write of writes) expect((await write).status).toBe(0)
    await initiator.answerPing(await initiator.receiveOpcode(0x20))
    await initiator.nop()

    initiator.socket.pause()
    for (let index = 0; index < 4; index++) await begin(initiator, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    await target.until(outputIsFull)
    const now = performance.now()
    connection.tick(now)
    connection.ping()
    const { sentBytes } = connection.socket
    initiator.socket.resume()
    await target.until(() => connection.socket.sentBytes > sentBytes)
    initiator.socket.pause()
    await target.until(() => connection.socket.waitingBytes > 0)
    connection.tick(now + 2 * PING_TIME_MS)
    expect(connection.closed).toBe(false)
    await initiator.reset()
  })

  it('is as good as answered by any other byte', async () => {
    const initiator = await start()
    const connection = target.connections[0]!
    connection.tick(performance.now() + PING_AFTER_MS + 1)
    await initiator.answerPing(await initiator.receiveOpcode(0x20))
    await initiator.nop()
    connection.ping()
    await initiator.receiveOpcode(0x20)
    await initiator.command(TEST_UNIT_READY)
    connection.tick(connection.socket.lastReceivedAt + 1)
    connection.tick(connection.socket.lastReceivedAt + PING_AFTER_MS)
    expect(connection.closed).toBe(false)
    await initiator.leave()
  })
})

describe('a connection that does not log in', () => {
  it.each([
    ['that says nothing', Buffer.alloc(0)],
    ['that says half a header', Buffer.alloc(24, 0x43)]
  ])('%s is cut after its time', async (_title, bytes) => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    if (bytes.length > 0) await initiator.send(bytes)
    await target.until(() => target.connections.length === 1)
    const connection = target.connections[0]!
    connection.tick(connection.since + LOGIN_TIME_MS - 1)
    expect(connection.closed).toBe(false)
    connection.tick(connection.since + LOGIN_TIME_MS + 1)
    await initiator.closed()
    await target.until(() => target.dropped.length === 1)
    expect(target.dropped).toEqual(['login took too long'])
  })

  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.padEnd(60))],
    ['TLS', Buffer.from('16030100f8010000f40303'.padEnd(200, '0'), 'hex')],
    ['a SCSI Command', Buffer.concat([Buffer.from([0x01, 0x81]), Buffer.alloc(46)])],
    ['a NOP-Out', Buffer.concat([Buffer.from([0x40, 0x80]), Buffer.alloc(46)])],
    ['a Logout', Buffer.concat([Buffer.from([0x46, 0x80]), Buffer.alloc(46)])],
    [
      'a data segment of 16 MiB',
      Buffer.concat([Buffer.from([0x43, 0x87, 0, 0, 0, 0xff, 0xff, 0xff]), Buffer.alloc(40)])
    ],
    [
      '255 words of AHS before 8192 bytes',
      Buffer.concat([Buffer.from([0x43, 0x87, 0, 0, 255, 0, 0x20, 0]), Buffer.alloc(40 + 1020 + 8192)])
    ]
  ])('but says %s is cut at once', async (_title, bytes) => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    await initiator.send(bytes)
    await initiator.closed()
    await target.until(() => target.dropped.length === 1)
    const other = await login()
    expect((await other.command(TEST_UNIT_READY)).status).toBe(0)
    await other.leave()
  })
})

describe('a commit that fails', () => {
  class Journalled extends MemoryVolume {
    dirty = false
    fails = 0
    commits = 0
    override get uncommitted(): boolean {
      return this.dirty
    }
    override commit(): void {
      this.dirty = false
      this.commits++
      if (this.fails > 0 && this.fails-- > 0)
        throw Object.assign(new Error('no space for the journal'), { code: 'ENOSPC' })
    }
    protected override _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
      this.dirty = true
      return super._tryWrite(buffer, start, length, offset)
    }
  }

  it('fails the writes of that turn, not its reads, and the session lives', async () => {
    const volume = new Journalled(1 << 20)
    const initiator = await start({ volumes: [volume] })
    volume.fails = 1
    const bytes: Buffer[] = []
    const tags: number[] = []
    for (let index = 0; index < 6; index++) {
      const cdb = index % 2 ? read10(100, 1) : write10(index, 1)
      const bhs = commandHeader(initiator, cdb, { flags: index % 2 ? 0xc1 : 0xa1, edtl: BLOCK })
      tags.push(bhs.readUInt32BE(16))
      bytes.push(initiator.frame(bhs, index % 2 ? Buffer.alloc(0) : Buffer.alloc(BLOCK, index)))
    }
    await initiator.send(Buffer.concat(bytes))
    const outcomes = await Promise.all(tags.map((tag) => initiator.finish(tag, LUN_0)))
    expect(outcomes.map((outcome) => outcome.senseText)).toEqual(['07/27/07', '', '07/27/07', '', '07/27/07', ''])
    expect(volume.commits).toBe(1)
    expect((await initiator.command(write10(0, 1), { write: Buffer.alloc(BLOCK, 1) })).status).toBe(0)
    await initiator.leave()
  })

  it('fails a write whose first pieces it has undone, although the last commit succeeds', async () => {
    const volume = new Journalled(1 << 20)
    const initiator = await start({ volumes: [volume], offer: { maxRecvDataSegmentLength: 4096, initialR2T: true } })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: 8192, data: Buffer.alloc(4096, 1) })
    const r2t = await initiator.receiveOpcode(0x31)
    volume.fails = 1
    expect((await initiator.command(write10(64, 1), { write: Buffer.alloc(BLOCK, 1) })).senseText).toBe('07/27/07')
    await initiator.dataOut(tag, r2t.bhs.readUInt32BE(20), LUN_0, Buffer.alloc(8192, 1), 4096, 8192)
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('07/27/07')
    await initiator.leave()
  })

  it('of another session of the same disk fails the writes that it has undone', async () => {
    const volume = new Journalled(1 << 20)
    const initiator = await start({ volumes: [volume], offer: { maxRecvDataSegmentLength: 4096, initialR2T: true } })
    const other = await login(undefined, '00023d000001')
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: 8192, data: Buffer.alloc(4096, 1) })
    const r2t = await initiator.receiveOpcode(0x31)
    volume.fails = 1
    expect((await other.command(write10(64, 1), { write: Buffer.alloc(BLOCK, 1) })).senseText).toBe('07/27/07')
    await initiator.dataOut(tag, r2t.bhs.readUInt32BE(20), LUN_0, Buffer.alloc(8192, 1), 4096, 8192)
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('07/27/07')
    await initiator.leave()
    await other.leave()
  })

  it('comes once for all writes of a turn', async () => {
    const volume = new Journalled(1 << 20)
    const initiator = await start({ volumes: [volume] })
    const bytes = Array.from({ length: 50 }, (_, index) =>
      initiator.frame(commandHeader(initiator, write10(index, 1), { flags: 0xa1, edtl: BLOCK }), Buffer.alloc(BLOCK, 1))
    )
    await initiator.send(Buffer.concat(bytes))
    for (let index = 0; index < 50; index++) expect((await initiator.receiveOpcode(0x21)).bhs[3]).toBe(0)
    // 28 KB come in one or two reads of the socket.
    expect(volume.commits).toBeLessThanOrEqual(4)
    await initiator.leave()
  })
})

describe('a mistake of ours', () => {
  it.each([
    ['while a command starts', 'start'],
    ['when a disk has answered', 'later']
  ])('%s ends that session alone, and leaves nothing behind', async (_title, when) => {
    const faults = new FaultPlan()
    const initiator = await start({ faults, volumes: [new MemoryVolume(1 << 20), new MemoryVolume(1 << 20)] })
    const other = await login('iqn.2010-04.org.example:other')
    const { deviceServer } = target.group
    const unit = target.units[1]!
    const run = deviceServer.start.bind(deviceServer)
    deviceServer.start = (task) => {
      run(task)
      if (task.unit === unit && when === 'start') throw new AssertionError('as ordered')
    }
    if (when === 'later') {
      faults.add({ verb: 'read', times: 1, effect: { kind: 'hold' } })
      const tag = await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK, lun: 1 })
      await target.until(() => faults.held === 1)
      const task = target.sessions[0]!.tasks.get(tag)!
      task.scsi.fill = () => {
        throw new AssertionError('as ordered')
      }
      faults.releaseAll()
    } else {
      await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK, lun: 1 })
    }
    await initiator.closed()
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end).toEqual({ kind: 'lost', cause: 'assertion in the server: as ordered' })
    expect(target.failures.splice(0).map(String)).toEqual(['AssertionError: as ordered'])
    expect((await other.command(write10(0, 1), { write: Buffer.alloc(BLOCK, 1) })).status).toBe(0)
    deviceServer.start = run
    // An ORDERED command of the next session waits for no ghost in the task set.
    const again = await login()
    expect((await again.command(TEST_UNIT_READY, { lun: 1, attribute: 2 })).status).toBe(0)
    await again.leave()
    await other.leave()
  })

  it.each([
    ['a read', '_tryRead', read10(0, 1), 0xc1],
    ['a write', '_tryWrite', write10(0, 1), 0xa1]
  ])('in the volume, in %s, ends that session alone', async (_title, verb, cdb, flags) => {
    const volumes = [new MemoryVolume(1 << 20), new MemoryVolume(1 << 20)]
    const initiator = await start({ volumes })
    const other = await login('iqn.2010-04.org.example:other')
    Object.defineProperty(volumes[1], verb, {
      value: () => {
        throw new AssertionError('as ordered')
      }
    })
    await begin(initiator, cdb, {
      flags,
      edtl: BLOCK,
      lun: 1,
      data: flags === 0xa1 ? Buffer.alloc(BLOCK) : Buffer.alloc(0)
    })
    await initiator.closed()
    expect(target.failures.splice(0).map(String)).toEqual(['AssertionError: as ordered'])
    expect((await other.command(read10(0, 1), { read: BLOCK })).status).toBe(0)
    await other.leave()
  })

  it('in the time limits ends that session alone', async () => {
    const initiator = await start()
    const connection = target.connections[0]!
    connection.ping = () => {
      throw new AssertionError('as ordered')
    }
    connection.tick(performance.now() + PING_AFTER_MS + 1)
    await initiator.closed()
    expect(target.failures.splice(0).length).toBe(1)
  })
})

describe('a session of an initiator that says nothing for an hour and logs out', () => {
  it('still has its answers in order', async () => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x40 }, [[20, 0xffffffff]])
    for (let minute = 0; minute < 60; minute++) target.connections[0]!.tick(performance.now() + minute * 1000)
    await initiator.leave()
  })
})
