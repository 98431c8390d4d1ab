import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf, steps } from '../support/random.js'
import { BLOCK, commandHeader, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { framePdu, loginHeader, ScriptedInitiator, textOf, type Pdu } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

/** Everything that a login, a write with an R2T, a read and a ping say, as one stream of bytes. */
async function exchange(initiatorName: string): Promise<Buffer> {
  const isid = Buffer.from('00023d000000', 'hex')
  const { first, normal } = OPEN_ISCSI
  const names = textOf(first({ initiatorName, targetName: TARGET_NAME, authMethod: 'None' }))
  const scratch = await ScriptedInitiator.connect(target.port)
  scratch.cmdSn = 1
  const write = commandHeader(scratch, write10(0, 200), { flags: 0xa1, edtl: 200 * BLOCK })
  const read = commandHeader(scratch, read10(0, 64), { flags: 0xc1, edtl: 64 * BLOCK })
  const ping = Buffer.alloc(48)
  ping[0] = 0x40
  ping[1] = 0x80
  ping.writeUInt32BE(0x77, 16)
  ping.writeUInt32BE(0xffffffff, 20)
  await scratch.close()
  return Buffer.concat([
    framePdu(loginHeader({ flags: 0x81, isid, cmdSn: 1 }), names),
    framePdu(loginHeader({ flags: 0x87, isid, cmdSn: 1 }), textOf(normal)),
    framePdu(write, Buffer.alloc(8192, 0x33)),
    framePdu(read, Buffer.alloc(0)),
    framePdu(ping, Buffer.alloc(100, 0x44))
  ])
}

/** Logs in, writes and reads: whoever can do that has everything that it needs. */
async function proveAlive(initiatorName: string): Promise<void> {
  const initiator = await ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    initiatorName
  })
  const data = Buffer.alloc(8 * BLOCK, initiatorName)
  expect((await initiator.command(write10(2048, 8), { write: data })).status).toBe(0)
  expect((await initiator.command(read10(2048, 8), { read: data.length })).data.equals(data)).toBe(true)
  await initiator.leave()
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length
}

const onLinux = process.platform === 'linux' ? it : it.skip

describe.each([
  ['FIN', true],
  ['FIN', false],
  ['RST', true],
  ['RST', false]
])('a TCP connection that ends with %s (positioned reads: %s)', (how, positionedReads) => {
  const seed = seedOf(how === 'FIN' ? 1 : 2)
  onLinux(`after any byte of an exchange leaves nothing behind (seed ${seed})`, async () => {
    target = await TestTarget.start({ positionedReads })
    const bytes = await exchange('iqn.2010-04.org.example:cut')
    const random = new Random(seed)
    // Around every PDU, and somewhere inside.
    const cuts = [1, 47, 48, 49, bytes.length - 148, bytes.length - 147, bytes.length - 1, bytes.length]
    while (cuts.length < 40) cuts.push(random.int(bytes.length))
    const filesBefore = openFiles()
    for (const cut of cuts) {
      const initiator = await ScriptedInitiator.connect(target.port)
      void initiator.receive().catch(() => undefined)
      await initiator.send(bytes.subarray(0, cut))
      if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve))
      await (how === 'FIN' ? initiator.close() : initiator.reset())
    }
    await target.until(() => target.connections.length === 0 && target.group.sessions.length === 0)
    expect(target.tasksOut).toBe(0)
    await target.until(() => target.group.buffers.used === 0)
    expect(openFiles()).toBeLessThanOrEqual(filesBefore + 1)
    await proveAlive('iqn.2010-04.org.example:alive')
  })
})

describe('a TCP connection that ends', () => {
  it.each(['FIN', 'RST'])('with %s while the disk works keeps its session until the disk has answered', async (how) => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
    faults.add({ verb: 'read', effect: { kind: 'hold' } }).add({ verb: 'write', effect: { kind: 'hold' } })
    for (let index = 0; index < 16; index++) {
      const cdb = index % 2 ? read10(index, 1) : write10(index, 1)
      const bhs = commandHeader(initiator, cdb, { flags: index % 2 ? 0xc1 : 0xa1, edtl: BLOCK })
      await initiator.sendPdu(bhs, index % 2 ? Buffer.alloc(0) : Buffer.alloc(BLOCK, 1))
    }
    await target.until(() => faults.held === 16)
    await (how === 'FIN' ? initiator.close() : initiator.reset())
    await target.until(() => target.connections.length === 0)
    expect(target.ends).toEqual([])
    faults.clear()
    for (let index = 0; index < 15; index++) faults.release()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(target.ends).toEqual([])
    faults.releaseAll()
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end.kind).toBe(how === 'FIN' ? 'closed' : 'lost')
    await proveAlive('iqn.2010-04.org.example:alive')
  })
})

/** Answers of the target as opcode, tag and length, for comparison of two ways to cut the same stream. */
async function answers(initiator: ScriptedInitiator, count: number): Promise<string[]> {
  const seen: Pdu[] = []
  while (seen.length < count) seen.push(await initiator.receive())
  return seen.map(({ opcode, bhs, data }) => `${opcode} ${bhs.readUInt32BE(16)} ${data.length}`)
}

// Two Login Responses, the R2T of the write, Data-In with status, NOP-In.
const ANSWERS = ['35 0 0', '35 0 0', '49', '37', '32 119 100']

describe.each([true, false])('a stream of PDUs (positioned reads: %s)', (positionedReads) => {
  async function run(send: (initiator: ScriptedInitiator, bytes: Buffer) => Promise<void>): Promise<void> {
    const name = 'iqn.2010-04.org.example:pieces'
    const bytes = await exchange(name)
    const initiator = await ScriptedInitiator.connect(target.port)
    await send(initiator, bytes)
    const seen = await answers(initiator, ANSWERS.length)
    expect(seen.map((line) => line.split(' ')[0])).toEqual(ANSWERS.map((line) => line.split(' ')[0]))
    expect(seen.at(-1)).toBe(ANSWERS.at(-1))
    expect(seen[3]!.endsWith(` ${64 * BLOCK}`)).toBe(true)
    await initiator.reset()
  }

  it('in segments of one byte each is taken', async () => {
    target = await TestTarget.start({ positionedReads })
    await run(async (initiator, bytes) => {
      for (const byte of bytes) {
        initiator.socket.write(Buffer.of(byte))
        if (byte % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    })
  })

  it.each([seedOf(1), seedOf(2), seedOf(3)])('cut at random points is taken (seed %i)', async (seed) => {
    target = await TestTarget.start({ positionedReads })
    const random = new Random(seed)
    for (let round = 0; round < steps(10); round++) {
      await run(async (initiator, bytes) => {
        for (let at = 0; at < bytes.length;) {
          const end = Math.min(bytes.length, at + 1 + random.int(round % 2 ? 100 : 5000))
          await initiator.send(bytes.subarray(at, end))
          await new Promise((resolve) => setImmediate(resolve))
          at = end
        }
      })
    }
  })

  it('in one segment is taken', async () => {
    target = await TestTarget.start({ positionedReads })
    await run((initiator, bytes) => initiator.send(bytes))
  })

  it('with many small commands in each segment is taken', async () => {
    target = await TestTarget.start({ positionedReads })
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
    for (let round = 0; round < 20; round++) {
      const tags = []
      const bytes = []
      for (let index = 0; index < 100; index++) {
        const bhs = commandHeader(initiator, index % 2 ? TEST_UNIT_READY : read10(index, 1), {
          flags: index % 2 ? 0x81 : 0xc1,
          edtl: index % 2 ? 0 : BLOCK
        })
        tags.push(bhs.readUInt32BE(16))
        bytes.push(initiator.frame(bhs))
      }
      await initiator.send(Buffer.concat(bytes))
      const statuses = []
      for (const tag of tags) statuses.push((await initiator.finish(tag, LUN_0)).status)
      expect(statuses).toEqual(tags.map(() => 0))
    }
    await initiator.leave()
  })
})
