import { afterEach, describe, expect, it } from '@jest/globals'
import { CROWDED_TURN_OUTPUT } from '../../lib/iscsi/limits.js'
import { BHS_LENGTH } from '../../lib/pdu/bhs.js'
import { SENT_DATA_LENGTH_MAX } from '../../lib/pdu/writer.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf } from '../support/random.js'
import { begin, BLOCK, read10, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../support/test-target.js'

const LUN_0 = Buffer.alloc(8)
const data = new Random(seedOf(21)).bytes(Buffer.alloc(1 << 20))

let target: TestTarget
let faults: FaultPlan
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  faults = new FaultPlan()
  target = await TestTarget.start({ faults, ...options })
  const override = { MaxRecvDataSegmentLength: '8192' }
  const initiator = await ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    override
  })
  expect((await initiator.command(write10(0, 2048), { write: data })).status).toBe(0)
  return initiator
}

describe('a read whose disk has to be asked', () => {
  it('for every piece gets all of them, in order', async () => {
    const initiator = await start()
    faults.add({ verb: 'read', effect: { kind: 'block' } })
    const outcome = await initiator.command(read10(0, 2048), { read: data.length })
    expect(outcome.data.equals(data)).toBe(true)
    expect(outcome.pdus.length).toBe(128)
    await initiator.leave()
  })

  it('does not keep others waiting: answers come in the order in which the disk gives them', async () => {
    const initiator = await start()
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    const tags = []
    for (let index = 0; index < 16; index++)
      tags.push(await begin(initiator, read10(index * 16, 16), { flags: 0xc1, edtl: 8192 }))
    await target.until(() => faults.held === 16)
    faults.clear()
    const order = new Random(seedOf(22)).shuffle(Array.from({ length: 16 }, (_, index) => index))
    const waiting = Array.from({ length: 16 }, (_, index) => index)
    for (const index of order) {
      faults.release(waiting.indexOf(index))
      waiting.splice(waiting.indexOf(index), 1)
      const pdu = await initiator.receiveOpcode(0x25)
      expect(pdu.bhs.readUInt32BE(16)).toBe(tags[index])
      expect(pdu.data.equals(data.subarray(index * 8192, (index + 1) * 8192))).toBe(true)
    }
    await initiator.leave()
  })

  it('waits in line when there is no memory to read into', async () => {
    const initiator = await start({ stagingBytes: 16384 })
    faults.add({ verb: 'read', effect: { kind: 'block' } })
    const reads = Array.from({ length: 32 }, (_, index) => initiator.command(read10(index * 64, 64), { read: 32768 }))
    for (const [index, read] of reads.entries()) {
      expect((await read).data.equals(data.subarray(index * 32768, (index + 1) * 32768))).toBe(true)
    }
    expect(target.group.staging.used).toBe(0)
    await initiator.leave()
  })

  it('and that is cut, aborted or replaced meanwhile gives its memory back', async () => {
    const initiator = await start({ stagingBytes: 8192 })
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    const tags = []
    for (let index = 0; index < 8; index++)
      tags.push(await begin(initiator, read10(0, 16), { flags: 0xc1, edtl: 8192 }))
    await target.until(() => faults.held === 1)
    // The second one waits for memory and is nowhere at the disk.
    expect(await initiator.taskManagement(1, { referencedTag: tags[1]!, refCmdSn: initiator.cmdSn - 7 })).toBe(0)
    await initiator.reset()
    faults.clear()
    faults.releaseAll()
    await target.until(() => target.ends.length === 1)
    expect(target.group.staging.used).toBe(0)
    expect(target.tasksOut).toBe(0)
  })

  it('and that answers with an error ends the command with what was sent before', async () => {
    const initiator = await start()
    faults.add({ verb: 'read', range: { offset: 40 * BLOCK, length: 1 }, effect: { kind: 'block' }, times: 1 })
    faults.add({ verb: 'read', range: { offset: 48 * BLOCK, length: 1 }, effect: { kind: 'error', code: 'EIO' } })
    const outcome = await initiator.command(read10(0, 64), { read: 64 * BLOCK })
    expect(outcome.pdus.map((pdu) => pdu.opcode)).toEqual([0x25, 0x25, 0x25, 0x21])
    expect(outcome.senseText).toBe('03/11/00')
    expect(outcome.residualCount).toBe(16 * BLOCK)
    await initiator.leave()
  })
})

describe('a read that its initiator takes nothing of', () => {
  it('is not done at all', async () => {
    const initiator = await start()
    faults.add({ verb: 'read', effect: { kind: 'error', code: 'EIO' } })
    const tag = await begin(initiator, read10(0, 8), { flags: 0xc1, edtl: 0 })
    const outcome = await initiator.finish(tag, LUN_0)
    expect([outcome.status, outcome.overflow, outcome.residualCount]).toEqual([0, true, 4096])
    await initiator.leave()
  })
})

describe('a long read beside others', () => {
  it('lets them have their turn although its initiator takes everything at once', async () => {
    target = await TestTarget.start({ volumes: [new MemoryVolume(32 << 20)] })
    const login = (initiatorName: string) =>
      ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, initiatorName })
    const initiator = await login('iqn.2010-04.org.example:reader')
    const { socket } = target.connections[0]!
    const other = await login('iqn.2010-04.org.example:other')
    let [sent, turn, longest] = [0, 0, 0]
    // Before what the connection has put off to behind the others' turns.
    const turnEnds = () => {
      turn = 0
      if (sent <= lengthBytes) setImmediate(turnEnds)
    }
    const lengthBytes = 65535 * BLOCK
    setImmediate(turnEnds)
    socket.write = (bytes, release) => {
      socket.sentBytes += bytes.length
      sent += bytes.length
      turn += bytes.length
      longest = Math.max(longest, turn)
      release()
    }
    await begin(initiator, read10(0, 65535), { flags: 0xc1, edtl: lengthBytes })
    await target.until(() => sent > lengthBytes)
    expect(longest).toBeLessThanOrEqual(CROWDED_TURN_OUTPUT + SENT_DATA_LENGTH_MAX + BHS_LENGTH * 3)
    await initiator.reset()
    await other.leave()
  })
})
