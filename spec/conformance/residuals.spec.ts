import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { begin, BLOCK, INQUIRY_36, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const BLOCKS = 8
const LENGTH = BLOCKS * BLOCK
const FLAGS = { none: 0x81, R: 0xc1, W: 0xa1, 'R and W': 0xe1 }

interface Row {
  readonly what: string
  readonly cdb: readonly number[]
  /** Bytes that the command moves, and where to. */
  readonly bytes: number
  readonly direction: 'in' | 'out' | 'none'
  readonly status: number
}

const ROWS: readonly Row[] = [
  { what: 'a READ', cdb: read10(0, BLOCKS), bytes: LENGTH, direction: 'in', status: 0 },
  { what: 'a WRITE', cdb: write10(64, BLOCKS), bytes: LENGTH, direction: 'out', status: 0 },
  { what: 'an INQUIRY', cdb: INQUIRY_36, bytes: 36, direction: 'in', status: 0 },
  { what: 'a TEST UNIT READY', cdb: TEST_UNIT_READY, bytes: 0, direction: 'none', status: 0 },
  { what: 'a READ of no blocks', cdb: read10(0, 0), bytes: 0, direction: 'none', status: 0 },
  { what: 'a WRITE of no blocks', cdb: write10(0, 0), bytes: 0, direction: 'none', status: 0 },
  { what: 'a READ beyond the end', cdb: read10(0xfffffff0, 8), bytes: 0, direction: 'none', status: 2 },
  { what: 'a WRITE beyond the end', cdb: write10(0xfffffff0, 8), bytes: 0, direction: 'none', status: 2 },
  { what: 'an unknown command', cdb: [0xc7, 0, 0, 0, 0, 0], bytes: 0, direction: 'none', status: 2 }
]

/** §11.4.5: what the command moves against what the flags and the EDTL allow in its direction. */
function expected(row: Row, flags: number, edtl: number): { flag: number; count: number } {
  const bit = row.direction === 'in' ? 0x40 : 0x20
  const allowed = row.direction === 'none' || flags & bit ? edtl : 0
  if (row.bytes > allowed) return { flag: 0x04, count: row.bytes - allowed }
  return { flag: row.bytes < allowed ? 0x02 : 0, count: allowed - row.bytes }
}

describe.each(ROWS)('RFC 7143 §11.4.5: the residual of $what', (row) => {
  let target: TestTarget
  let initiator: ScriptedInitiator
  beforeAll(async () => {
    target = await TestTarget.start()
    initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME })
  })
  afterAll(async () => {
    await initiator.leave()
    expect(await target.stop()).toEqual(NOTHING)
  })

  const lengths = [0, 1, row.bytes >> 1, row.bytes, row.bytes + 1, 2 * row.bytes + 512].filter(
    (length, at, all) => all.indexOf(length) === at
  )
  const cases = Object.entries(FLAGS).flatMap(([name, flags]) => lengths.map((edtl) => ({ name, flags, edtl })))
  it.each(cases)('with flags $name and an EDTL of $edtl', async ({ flags, edtl }) => {
    const before = Buffer.alloc(3 * LENGTH, 0x11)
    expect((await initiator.command(write10(56, 3 * BLOCKS), { write: before })).status).toBe(0)
    const sends = (flags & 0x20) !== 0
    const data = sends ? Buffer.alloc(edtl, 0xee) : Buffer.alloc(0)
    const tag = await begin(initiator, row.cdb, { flags, edtl, data })
    const outcome = await initiator.finish(tag, Buffer.alloc(8))
    const last = outcome.pdus.at(-1)!
    expect(outcome.status).toBe(row.status)
    expect({ flag: last.bhs[1]! & 0x1e, count: outcome.residualCount }).toEqual(expected(row, flags, edtl))

    const moved = row.direction === 'in' && flags & 0x40 ? Math.min(row.bytes, edtl) : 0
    expect(outcome.data.length).toBe(moved)
    // §11.4.8: Data-In PDUs are counted; where the last of them has the status they need not be.
    if (last.opcode === 0x21) expect(last.bhs.readUInt32BE(36)).toBe(outcome.pdus.length - 1)

    const written = row.direction === 'out' && sends ? Math.min(row.bytes, edtl) : 0
    const model = Buffer.from(before)
    model.fill(0xee, LENGTH, LENGTH + written)
    const after = await initiator.command(read10(56, 3 * BLOCKS), { read: model.length })
    expect(after.data.equals(model)).toBe(true)
  })

  it('with the longest EDTL that there is', async () => {
    const flags = row.direction === 'out' ? 0xa1 : 0xc1
    const edtl = 0xffffffff
    const data = row.direction === 'out' ? Buffer.alloc(row.bytes, 1) : Buffer.alloc(0)
    const tag = await begin(initiator, row.cdb, { flags, edtl, data })
    const outcome = await initiator.finish(tag, Buffer.alloc(8))
    const { flag, count } = expected(row, flags, edtl)
    expect({ underflow: outcome.underflow, count: outcome.residualCount }).toEqual({ underflow: flag === 0x02, count })
  })
})
