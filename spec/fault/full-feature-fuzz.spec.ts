import { afterEach, describe, expect, it } from '@jest/globals'
import { AssertionError } from '../../lib/util/assert.js'
import { FaultPlan, FaultVolume } from '../../lib/volume/layers/fault.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import {
  dataOut,
  logoutRequest,
  nopOut,
  scsiCommand,
  snack,
  taskManagementRequest,
  textRequest
} from '../support/pdu-builder.js'
import { Random, seedOf, steps } from '../support/random.js'
import { BLOCK, read10, SYNCHRONIZE_CACHE, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

/**
 * One client sends PDUs of full feature phase, most of them broken; another one reads and writes all the while and
 * compares with a plain array. SPEC_STEPS_FACTOR makes it longer.
 */
const PDUS = steps(600)
const VICTIM = 'iqn.2010-04.org.example:victim'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

/** A PDU that makes sense, for the session as it stands now. */
function sensible(random: Random, initiator: ScriptedInitiator): Buffer {
  const immediate = random.chance(0.2)
  const cmdSn = immediate ? initiator.cmdSn : initiator.cmdSn++
  const common = {
    itt: random.chance(0.7) ? random.int(40) : random.int(0x100000000),
    cmdSn,
    expStatSn: initiator.expStatSn,
    immediate
  }
  const lba = 256 + random.int(64)
  const blocks = random.int(40)
  const data = random.bytes(Buffer.alloc(random.int(3000)))
  switch (random.int(10)) {
    case 0:
      return scsiCommand({ ...common, flags: 0xc1, edtl: blocks * BLOCK, cdb: read10(lba, blocks) })
    case 1:
      return scsiCommand({ ...common, flags: 0xa1, edtl: blocks * BLOCK, cdb: write10(lba, blocks) })
    case 2:
      return scsiCommand({
        ...common,
        flags: random.pick([0x21, 0xa1]),
        edtl: 4096,
        cdb: write10(lba, 8),
        data: data.subarray(0, 2048)
      })
    case 3:
      return scsiCommand({
        ...common,
        flags: 0x80 | random.int(5),
        cdb: random.pick([TEST_UNIT_READY, SYNCHRONIZE_CACHE])
      })
    case 4:
      return dataOut({
        itt: common.itt,
        ttt: random.chance(0.5) ? random.int(300) : 0xffffffff,
        flags: random.pick([0, 0x80]),
        bufferOffset: random.int(8) * 512,
        dataSn: random.int(3),
        data
      })
    case 5:
      return nopOut({ ...common, data })
    case 6:
      return textRequest({
        ...common,
        flags: random.pick([0x80, 0x40, 0]),
        data: random.pick(['SendTargets=\0', 'MaxRecvDataSegmentLength=512\0', 'X=1', ''])
      })
    case 7:
      return taskManagementRequest({
        ...common,
        function: 1 + random.int(6),
        referencedTaskTag: random.int(40),
        refCmdSn: Math.max(0, cmdSn - random.int(5))
      })
    case 8:
      return snack({ itt: common.itt, type: random.int(4) })
    default:
      return random.chance(0.05)
        ? logoutRequest({ ...common, reason: random.int(8) })
        : scsiCommand({ ...common, flags: 0xc1, edtl: 64, cdb: [random.int(256), ...random.bytes(Buffer.alloc(15))] })
  }
}

function mutated(random: Random, pdu: Buffer): Buffer {
  if (random.chance(0.4)) return pdu
  const bytes = Buffer.from(pdu)
  for (let count = 1 + random.int(3); count > 0; count--) {
    // The header more often than the data, and seldom the lengths, which desynchronise everything behind.
    const at = random.chance(0.9) ? random.int(48) : random.int(bytes.length)
    if (at >= 4 && at < 8 && random.chance(0.97)) continue
    bytes[at] = random.chance(0.5) ? bytes[at]! ^ (1 << random.int(8)) : random.int(256)
  }
  return random.chance(0.01) ? bytes.subarray(0, random.int(bytes.length)) : bytes
}

async function attacker(): Promise<ScriptedInitiator> {
  const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
  initiator.checksStatSn = false
  return initiator
}

describe.each([1, 2, 3, 4].map((seed) => seedOf(seed)))('broken PDUs of seed %i', (seed) => {
  it(
    `${PDUS} of them change no byte of another client and leave nothing behind`,
    async () => {
      const random = new Random(seed)
      const faults = new FaultPlan(() => random.next())
      faults.add({
        verb: 'read',
        range: { offset: 256 * BLOCK, length: 1 << 20 },
        probability: 0.2,
        effect: { kind: 'block' }
      })
      faults.add({
        verb: 'write',
        range: { offset: 256 * BLOCK, length: 1 << 20 },
        probability: 0.2,
        effect: { kind: 'block' }
      })
      target = await TestTarget.start({
        // Each has a disk of its own, as in the product: a reset by one is none of the other's business.
        privateVolumes: () => [new FaultVolume(new MemoryVolume(4 << 20), faults)],
        positionedReads: seed % 2 === 0,
        stagingBytes: 256 * 1024,
        offer: { maxRecvDataSegmentLength: 4096, firstBurstLength: 4096, maxBurstLength: 16384, initialR2T: false }
      })
      const victim = await ScriptedInitiator.login(target.port, {
        targetName: TARGET_NAME,
        preset: OPEN_ISCSI,
        initiatorName: VICTIM
      })
      const model = Buffer.alloc(256 * BLOCK)
      let sent = 0
      let over = false
      const attack = async () => {
        let initiator = await attacker()
        while (sent < PDUS) {
          if (initiator.isClosed || random.chance(0.002)) {
            initiator.socket.destroy()
            await initiator.closed()
            initiator = await attacker()
          }
          const burst = []
          for (let count = 1 + random.int(8); count > 0; count--, sent++)
            burst.push(mutated(random, sensible(random, initiator)))
          // The window is what the target says; a client that ignored it always would test only that.
          if (((initiator.maxCmdSn - initiator.cmdSn) | 0) < 0 && random.chance(0.5))
            initiator.cmdSn = initiator.expCmdSn
          await initiator.send(Buffer.concat(burst)).catch(() => undefined)
          await new Promise((resolve) => setImmediate(resolve))
        }
        initiator.socket.destroy()
        over = true
      }
      const watch = async () => {
        const mine = new Random(seed + 1000)
        while (!over) {
          const lba = mine.int(240)
          const place = model.subarray(lba * BLOCK, (lba + 16) * BLOCK)
          mine.bytes(place)
          const written = await victim.command(write10(lba, 16), { write: Buffer.from(place) })
          expect(written.status).toBe(0)
          const seen = await victim.command(read10(lba, 16), { read: place.length })
          expect(seen.data.equals(place)).toBe(true)
        }
      }
      await Promise.all([attack(), watch()])
      expect(target.failures.filter((failure) => failure instanceof AssertionError)).toEqual([])
      expect(target.failures).toEqual([])
      await victim.reset()
    },
    60_000 + 20 * PDUS
  )
})
