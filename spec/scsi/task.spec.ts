import { describe, expect, it } from '@jest/globals'
import { DATA_PHASE_ERROR } from '../../lib/scsi/sense.js'
import { Staging } from '../../lib/scsi/staging.js'
import { MAX_GATHERED_BYTES, TaskState, type Task } from '../../lib/scsi/task.js'
import { Random, seedOf, steps } from '../support/random.js'
import { Host, Sense, makeNexus, makeUnit } from '../support/scsi.js'

const LENGTH = 4096
const READ = '28 00 00000002 00 0008 00'
const WRITE = '2a 00 00000002 00 0008 00'
const OFFSET = 1024

function bench(staging = new Staging()) {
  const host = new Host(staging)
  const unit = makeUnit()
  return { host, unit, volume: unit.volume, staging, nexus: makeNexus([unit]) }
}

function pattern(seed: number, length = LENGTH): Buffer {
  return new Random(seed).bytes(Buffer.alloc(length))
}

describe('a task that reads', () => {
  it.each([1, 100, 512, 4096])('fills pieces of %d bytes straight from the medium', async (pieceLength) => {
    const { host, nexus, volume, staging } = bench()
    pattern(1).copy(volume.bytes, OFFSET)
    const result = await host.execute(nexus, READ, { pieceLength })
    expect(result.data).toEqual(pattern(1))
    expect(staging.used).toBe(0)
  })

  it('waits for a slow disk with the piece in staging, and gives it back', async () => {
    const { host, nexus, volume, staging } = bench()
    pattern(2).copy(volume.bytes, OFFSET)
    volume.refusing = true
    const task = host.make(nexus, READ)
    host.server.start(task)
    const place = Buffer.alloc(1000)
    expect(task.fill(place, 0, 1000, 0)).toBe(false)
    expect([task.busy, staging.used, task.state]).toEqual([true, 1000, TaskState.DataIn])
    await host.ready(task)
    expect(task.busy).toBe(false)
    expect(task.fill(place, 0, 1000, 0)).toBe(true)
    expect(place).toEqual(pattern(2).subarray(0, 1000))
    expect(staging.used).toBe(0)
    host.server.release(task)
  })

  it('waits for staging when there is none, and is told when to try again', async () => {
    const { host, nexus, volume, staging } = bench(new Staging(LENGTH))
    const held = staging.take(LENGTH)!
    volume.refusing = true
    const answer = host.execute(nexus, READ)
    expect(volume.calls).toEqual([])
    staging.give(held)
    expect((await answer).data).toHaveLength(LENGTH)
    expect(staging.used).toBe(0)
  })

  it.each([
    ['at once', false],
    ['later', true]
  ])('ends with the sense of an error that comes %s', async (_when, refusing) => {
    const { host, nexus, volume, staging } = bench()
    volume.refusing = refusing
    volume.broken.set('read', 'EIO')
    const result = await host.execute(nexus, READ)
    expect(result).toMatchObject({ status: 2, sense: '03/11/00' })
    expect(staging.used).toBe(0)
  })

  it('gives staged data back when it is released without being asked for it', async () => {
    const { host, nexus, volume, staging } = bench()
    volume.refusing = true
    const task = host.make(nexus, READ)
    host.server.start(task)
    task.fill(Buffer.alloc(512), 0, 512, 0)
    await host.ready(task)
    host.server.release(task)
    expect(staging.used).toBe(0)
  })
})

describe('a task that writes', () => {
  it.each([1, 100, 512, 4096])('puts pieces of %d bytes straight to the medium', async (pieceLength) => {
    const { host, nexus, volume } = bench()
    const result = await host.execute(nexus, WRITE, { dataOut: pattern(3), pieceLength })
    expect(result).toMatchObject({ status: 0, hex: '' })
    expect(volume.bytes.subarray(OFFSET, OFFSET + LENGTH)).toEqual(pattern(3))
    expect(volume.bytes[OFFSET - 1]).toBe(0)
    expect(volume.bytes[OFFSET + LENGTH]).toBe(0)
  })

  it('copies pieces for a slow disk, and ends when the last of them is written', async () => {
    const { host, nexus, volume, staging } = bench()
    volume.refusing = volume.stalled = true
    const task = host.make(nexus, WRITE, { dataOut: pattern(4) })
    host.server.start(task)
    const ring = pattern(4)
    for (let at = 0; at < LENGTH; at += 1024) expect(task.receive(ring, at, 1024)).toBe(true)
    ring.fill(0xff)
    task.finish()
    expect([task.state, task.busy, staging.used]).toEqual([TaskState.Pending, true, LENGTH])
    const ready = host.ready(task)
    volume.release()
    await ready
    expect([task.state, task.status, staging.used]).toEqual([TaskState.Done, 0, 0])
    expect(volume.bytes.subarray(OFFSET, OFFSET + LENGTH)).toEqual(pattern(4))
    host.server.release(task)
  })

  it('takes nothing while there is no staging, and goes on when there is', async () => {
    const { host, nexus, volume, staging } = bench(new Staging(LENGTH))
    const held = staging.take(LENGTH - 512)!
    volume.refusing = true
    const task = host.make(nexus, WRITE, { dataOut: pattern(5) })
    host.server.start(task)
    expect(task.receive(pattern(5), 0, 1024)).toBe(false)
    expect(task.received).toBe(0)
    const ready = host.ready(task)
    staging.give(held)
    await ready
    expect((await host.complete(task, { dataOut: pattern(5), pieceLength: 1024 })).status).toBe(0)
    expect(volume.bytes.subarray(OFFSET, OFFSET + LENGTH)).toEqual(pattern(5))
    host.server.release(task)
  })

  it.each([
    ['at once', false],
    ['later', true]
  ])('takes the rest of its data after an error that comes %s, and ends with its sense', async (_when, refusing) => {
    const { host, nexus, volume, staging } = bench()
    volume.refusing = refusing
    volume.broken.set('write', 'ENOSPC')
    const result = await host.execute(nexus, WRITE, { dataOut: pattern(6), pieceLength: 512 })
    expect(result).toMatchObject({ status: 2, sense: Sense.SpaceAllocationFailed })
    expect(staging.used).toBe(0)
  })

  it('tells the unit of the error', async () => {
    const errors: unknown[] = []
    const unit = makeUnit({ onVolumeError: (error) => errors.push(error) })
    unit.volume.broken.set('write', 'EIO')
    const result = await new Host().execute(makeNexus([unit]), WRITE, { dataOut: pattern(6) })
    expect(result.sense).toBe('03/0c/00')
    expect(errors).toMatchObject([{ code: 'EIO' }])
  })

  it('writes what came when the initiator has less than the CDB says', async () => {
    const { host, nexus, volume } = bench()
    const result = await host.execute(nexus, WRITE, { dataOut: pattern(7, 700) })
    expect(result.status).toBe(0)
    expect(volume.bytes.subarray(OFFSET, OFFSET + 700)).toEqual(pattern(7, 700))
    expect(volume.bytes.subarray(OFFSET + 700, OFFSET + LENGTH).every((byte) => byte === 0)).toBe(true)
  })

  it('is uncommitted as long as its volume is', () => {
    const { host, nexus, volume } = bench()
    let uncommitted = true
    Object.defineProperty(volume, 'uncommitted', { get: () => uncommitted })
    const [write, read] = [host.make(nexus, WRITE, { dataOut: pattern(1) }), host.make(nexus, READ)]
    for (const task of [write, read]) host.server.start(task)
    expect([write.uncommitted, read.uncommitted]).toEqual([true, false])
    uncommitted = false
    expect(write.uncommitted).toBe(false)
  })

  const seed = seedOf(20260803)
  it(`writes every byte once, in whatever pieces and with whatever disk (seed ${seed})`, async () => {
    const random = new Random(seed)
    const { host, nexus, volume, staging } = bench(new Staging(3000))
    const model = Buffer.alloc(volume.size)
    for (let round = 0; round < steps(200); round++) {
      volume.refusing = random.chance(0.5)
      const blocks = 1 + random.int(16)
      const lba = random.int(1024 - blocks)
      const data = random.bytes(Buffer.alloc(blocks * 512))
      const cdb = Buffer.alloc(10)
      cdb[0] = 0x2a
      cdb.writeUInt32BE(lba, 2)
      cdb.writeUInt16BE(blocks, 7)
      await host.execute(nexus, cdb, { dataOut: data, pieceLength: 1 + random.int(3000) })
      data.copy(model, lba * 512)
    }
    expect(volume.bytes.equals(model)).toBe(true)
    expect(staging.used).toBe(0)
  })
})

describe('a task that gathers a parameter list', () => {
  it('never gives it bytes of an older command', () => {
    const { host, nexus, unit } = bench()
    const cdb = '15 10 0000 18 00'
    const list = Buffer.alloc(24, 0xff)
    const task = host.make(nexus, cdb, { expectedDataOut: 24 })
    host.server.start(task)
    task.receive(list, 0, 10)
    expect(task.parameters!.subarray(0, 10)).toEqual(list.subarray(0, 10))
    expect(task.parameters!.subarray(10).every((byte) => byte === 0)).toBe(true)
    task.finish()
    expect(task.status).toBe(2)
    host.server.release(task)
    expect(unit.taskSet.idle).toBe(true)
  })

  it('gathers no more than it may', () => {
    const { host, nexus } = bench()
    const task = host.make(nexus, '00')
    expect(() => task.gather(MAX_GATHERED_BYTES + 1)).toThrow('to gather')
  })
})

describe('an aborted task', () => {
  it('stays busy, and tells its owner when its last piece has ended', async () => {
    const { host, nexus, volume, staging } = bench()
    volume.refusing = volume.stalled = true
    const task = host.make(nexus, WRITE, { dataOut: pattern(8) })
    host.server.start(task)
    task.receive(pattern(8), 0, 1024)
    task.aborted = true
    expect(task.busy).toBe(true)
    expect(() => task.reset()).toThrow('work under way')
    const ready = host.ready(task)
    volume.release()
    await ready
    expect([task.busy, staging.used]).toEqual([false, 0])
    host.server.release(task)
  })

  it('is not called for staging that it no longer wants', async () => {
    const { host, nexus, volume, staging } = bench(new Staging(LENGTH))
    const held = staging.take(LENGTH)!
    volume.refusing = true
    const calls: Task[] = []
    host.taskReady = (task) => void calls.push(task)
    const task = host.make(nexus, READ)
    host.server.start(task)
    task.fill(Buffer.alloc(512), 0, 512, 0)
    task.aborted = true
    host.server.release(task)
    staging.give(held)
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    expect(calls).toEqual([])
  })
})

describe('a task whose data phase broke a rule', () => {
  it('ends with that sense, and what came before is written', async () => {
    const { host, nexus, volume } = bench()
    const task = host.make(nexus, WRITE, { dataOut: pattern(9) })
    host.server.start(task)
    task.receive(pattern(9), 0, 512)
    task.failData(DATA_PHASE_ERROR)
    const result = await host.complete(task)
    expect(result).toMatchObject({ status: 2, sense: '0b/4b/00' })
    expect(volume.bytes.subarray(OFFSET, OFFSET + 512)).toEqual(pattern(9).subarray(0, 512))
  })

  it('ends so even when it waits in the task set', async () => {
    const { host, nexus } = bench()
    const [first, second] = [1, 2].map((attribute) => host.make(nexus, WRITE, { attribute, dataOut: pattern(9) }))
    host.server.start(first!)
    host.server.start(second!)
    second!.failData(DATA_PHASE_ERROR)
    expect(second!.state).toBe(TaskState.Blocked)
    const answer = host.complete(second!, { dataOut: pattern(9) })
    await host.complete(first!, { dataOut: pattern(9) })
    host.server.release(first!)
    expect((await answer).sense).toBe('0b/4b/00')
  })
})

describe('work that a command writes as a promise', () => {
  const make = () => {
    const { host, nexus } = bench()
    const task = host.make(nexus, '00')
    host.server.start(task)
    return { host, task }
  }

  it('ends good unless it says otherwise', async () => {
    const { host, task } = make()
    task.run(() => Promise.resolve())
    expect(task.state).toBe(TaskState.Pending)
    await host.ready(task)
    expect([task.state, task.status]).toEqual([TaskState.Done, 0])
  })

  it('keeps an end that it set before it ever waited', async () => {
    const { host, task } = make()
    // oxlint-disable-next-line typescript/require-await
    task.run(async () => task.check(DATA_PHASE_ERROR))
    await host.ready(task)
    expect([task.state, task.status]).toEqual([TaskState.Done, 2])
  })

  it('ends with the sense of what it throws', async () => {
    const { host, task } = make()
    task.run(() => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })))
    await host.ready(task)
    expect(task.sense!.subarray(12, 14).toString('hex')).toBe('2707')
  })
})

it('a task is as new after its release', () => {
  const host = new Host()
  const unit = makeUnit()
  const task = host.make(makeNexus([unit]), 'ff', { attribute: 3 })
  host.server.start(task)
  expect(task.status).toBe(2)
  host.server.release(task)
  expect(task).toMatchObject({
    state: TaskState.Idle,
    status: 0,
    sense: undefined,
    unit: undefined,
    command: undefined,
    attribute: 1,
    received: 0,
    dataInLength: 0,
    dataOutLength: 0,
    taskSetIndex: -1
  })
})
