import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { Random, seedOf, steps } from '../support/random.js'
import { BLOCK, SYNCHRONIZE_CACHE, TEST_UNIT_READY, read10, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { freePort, ServerProcess, sha256, workDirectory } from '../support/server-process.js'

/**
 * The real server is killed at random moments under load, again and again over one delta. A ledger says of each block
 * what was acknowledged last and what was on its way; after each death the disk must hold one of these.
 */
const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const BASE_STAMP = 0xba5e
/** Commands at a time, each with an area of its own, so that it is known which of two writes came last. */
const LANES = 16
const LANE_BLOCKS = 512
const BLOCKS = LANES * LANE_BLOCKS
const BLOCKS_MAX = 40
/** Acknowledged writes after which the process dies, at most. */
const WRITES_MAX = 300
/** The full campaign has 30 times as many. */
const KILLS = 10
const CAMPAIGN_LIMIT_MS = 3_600_000
const CHECK_CONDITION = 2

/** What of each block was acknowledged, and what was sent behind it. */
class Ledger {
  readonly acknowledged = new Uint32Array(BLOCKS).fill(BASE_STAMP)
  readonly sent = new Uint32Array(BLOCKS).fill(BASE_STAMP)
  stamp = BASE_STAMP
  acknowledgements = 0
  /** The server is being killed. */
  killed = false
  /** What failed before that. */
  failure: Error | undefined

  /** Takes what was found for what there is from now on. Answers the blocks that are wrong. */
  settle(found: Uint32Array): string[] {
    const wrong: string[] = []
    for (let block = 0; block < BLOCKS; block++) {
      const stamp = found[block]!
      if (stamp !== this.acknowledged[block] && stamp !== this.sent[block]) {
        wrong.push(`block ${block} holds ${stamp}, of ${this.acknowledged[block]} and ${this.sent[block]}`)
      }
      this.acknowledged[block] = this.sent[block] = stamp
    }
    return wrong
  }
}

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
})
afterEach(async () => {
  await server?.kill()
  work.remove()
})

function filled(stamp: number, blocks: number): Buffer {
  return Buffer.from(new Uint32Array((blocks * BLOCK) / 4).fill(stamp).buffer)
}

/** Writes in its area until the connection dies. */
async function writeOn(initiator: ScriptedInitiator, lane: number, ledger: Ledger, random: Random): Promise<void> {
  try {
    for (;;) {
      const count = 1 + random.int(BLOCKS_MAX)
      const first = lane * LANE_BLOCKS + random.int(LANE_BLOCKS - count)
      const stamp = ++ledger.stamp
      ledger.sent.fill(stamp, first, first + count)
      const { status } = await initiator.command(write10(first, count), { write: filled(stamp, count) })
      if (status === CHECK_CONDITION) throw new Error(`a write of ${count} blocks failed`)
      ledger.acknowledged.fill(stamp, first, first + count)
      ledger.acknowledgements++
      if (random.chance(0.02)) await initiator.command(SYNCHRONIZE_CACHE)
    }
  } catch (error) {
    // After the death of the server whatever was on its way fails.
    if (!ledger.killed) ledger.failure = error as Error
  }
}

/** The stamp of each block; 0xffffffff for one that is a mixture. */
async function readAll(initiator: ScriptedInitiator): Promise<Uint32Array> {
  const found = new Uint32Array(BLOCKS)
  for (let first = 0; first < BLOCKS; first += LANE_BLOCKS) {
    const { data } = await initiator.command(read10(first, LANE_BLOCKS), { read: LANE_BLOCKS * BLOCK })
    for (let i = 0; i < LANE_BLOCKS; i++) {
      const block = data.subarray(i * BLOCK, (i + 1) * BLOCK)
      found[first + i] = block.equals(filled(block.readUInt32LE(0), 1)) ? block.readUInt32LE(0) : 0xffffffff
    }
  }
  return found
}

describe('kill -9 of the server under load', () => {
  const seed = seedOf(601)
  it(
    `loses no acknowledged write, at any of ${steps(KILLS)} moments (seed ${seed})`,
    async () => {
      const random = new Random(seed)
      const image = join(work.path, 'share.img')
      writeFileSync(image, filled(BASE_STAMP, BLOCKS))
      const original = await sha256(image)
      const ledger = new Ledger()
      const port = await freePort()
      for (let kill = 0; kill < steps(KILLS); kill++) {
        server = await ServerProcess.start(['--lun', image, '--target-name', TARGET], { port })
        const initiator = await ScriptedInitiator.login(port, { targetName: TARGET, initiatorName: PC })
        await initiator.command(TEST_UNIT_READY)
        const wrong = ledger.settle(await readAll(initiator))
        if (wrong.length > 0) throw new Error(`after kill ${kill}: ${wrong.slice(0, 5).join('; ')}`)
        const until = ledger.acknowledgements + random.int(WRITES_MAX)
        ledger.killed = false
        const lanes = Array.from({ length: LANES }, (_, lane) => writeOn(initiator, lane, ledger, random))
        while (ledger.acknowledgements < until && !ledger.failure) await new Promise((resolve) => setImmediate(resolve))
        ledger.killed = true
        await server.kill()
        await Promise.all(lanes)
        if (ledger.failure) throw ledger.failure
        expect(server.lines(/lost its delta|power cut|mistake of ours/)).toEqual([])
        await initiator.close().catch(() => undefined)
      }
      expect(ledger.acknowledgements).toBeGreaterThan(steps(KILLS))
      expect(await sha256(image)).toBe(original)
    },
    CAMPAIGN_LIMIT_MS
  )
})
