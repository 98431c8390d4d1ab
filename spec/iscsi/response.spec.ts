import { afterEach, describe, expect, it } from '@jest/globals'
import type { IscsiTask } from '../../lib/iscsi/iscsi-task.js'
import { residual } from '../../lib/iscsi/response.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { begin } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

let target: TestTarget | undefined
afterEach(async () => {
  if (target) expect(await target.stop()).toEqual(NOTHING)
  target = undefined
})

describe('RFC 7143 §11.4: SCSI Response', () => {
  it('has these bytes, with the length of the sense data before it', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
    await begin(initiator, [0xee, 0, 0, 0, 0, 0], { flags: 0xc1, edtl: 0x100, tag: 0x01020304 })
    const { bhs, data } = await initiator.receiveOpcode(0x21)
    // F and U; completed at target; CHECK CONDITION; 20 bytes of data; no LUN.
    expect(bhs.subarray(0, 16).toString('hex')).toBe('21820002000000140000000000000000')
    expect(bhs.readUInt32BE(16)).toBe(0x01020304)
    // SNACK Tag is reserved; ExpDataSN 0; no bidirectional residual; 256 bytes of residual.
    expect(bhs.readUInt32BE(20)).toBe(0)
    expect(bhs.subarray(36).toString('hex')).toBe('000000000000000000000100')
    expect(data.readUInt16BE(0)).toBe(18)
    expect(data.subarray(2, 10).toString('hex')).toBe('700005000000000a')
    expect(data.subarray(14, 16).toString('hex')).toBe('2000')
    await initiator.leave()
  })
})

describe('RFC 7143 §11.4.5: the residual', () => {
  const rows: [string, object, object, { flag: number; count: number }][] = [
    ['of an exact read', { dataInLength: 512, expectedDataIn: 512 }, { expectedLength: 512 }, { flag: 0, count: 0 }],
    ['of a short read', { dataInLength: 36, expectedDataIn: 255 }, { expectedLength: 255 }, { flag: 2, count: 219 }],
    ['of a long read', { dataInLength: 512, expectedDataIn: 500 }, { expectedLength: 500 }, { flag: 4, count: 12 }],
    [
      'of a write in a command for reads',
      { dataOutLength: 512, expectedDataIn: 512 },
      { expectedLength: 512 },
      { flag: 4, count: 512 }
    ],
    ['of no data', {}, { expectedLength: 100 }, { flag: 2, count: 100 }],
    [
      'of a failed read that sent some',
      { status: 2, expectedDataIn: 512 },
      { expectedLength: 512, sent: 100 },
      { flag: 2, count: 412 }
    ],
    [
      'of a failed write that took all',
      { status: 2, dataOutLength: 512, received: 512 },
      { expectedLength: 512 },
      { flag: 0, count: 0 }
    ],
    ['of a reservation conflict', { status: 0x18 }, { expectedLength: 512 }, { flag: 2, count: 512 }]
  ]
  it.each(rows)('%s', (_title, scsi, fields, expected) => {
    const zeroes = { status: 0, dataInLength: 0, dataOutLength: 0, expectedDataIn: 0, expectedDataOut: 0, received: 0 }
    const task = { sent: 0, ...fields, scsi: { ...zeroes, ...scsi } } as unknown as IscsiTask
    expect({ ...residual(task) }).toEqual(expected)
  })
})
