import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf } from '../support/random.js'
import { begin, BLOCK, r2tFields, read10, sendDataOut, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const FIRST_BURST = 8192
const MAX_BURST = 16384
const MAX_RECV = 4096
const MAX_SEND = 3072

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

const small = {
  maxRecvDataSegmentLength: MAX_RECV,
  maxBurstLength: MAX_BURST,
  firstBurstLength: FIRST_BURST,
  initialR2T: false
}

function login(override: Record<string, string> = {}): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    override: { MaxRecvDataSegmentLength: String(MAX_SEND), MaxOutstandingR2T: '1', ...override }
  })
}

/** Around each of the three limits, in blocks of 512. */
const LENGTHS = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 200].map((blocks) => blocks * BLOCK)

describe.each(['Yes', 'No'])('RFC 7143 §4.2.5: with InitialR2T=%s', (initialR2T) => {
  describe.each(['Yes', 'No'])('and ImmediateData=%s', (immediateData) => {
    it('writes of every length around the limits arrive whole and change nothing beside them', async () => {
      target = await TestTarget.start({ offer: small })
      const initiator = await login({ InitialR2T: initialR2T, ImmediateData: immediateData })
      expect(initiator.answer('InitialR2T')).toBe(initialR2T)
      expect(initiator.answer('ImmediateData')).toBe(immediateData)
      const random = new Random(seedOf(7))
      const model = Buffer.alloc(512 * BLOCK)
      for (const length of LENGTHS) {
        const lba = random.int(512 - length / BLOCK)
        const data = random.bytes(Buffer.alloc(length))
        data.copy(model, lba * BLOCK)
        const outcome = await initiator.command(write10(lba, length / BLOCK), { write: data })
        const immediate = immediateData === 'Yes' ? Math.min(length, MAX_RECV) : 0
        const unasked = initialR2T === 'No' ? Math.min(length, FIRST_BURST) : immediate
        const r2ts = outcome.pdus.filter((pdu) => pdu.opcode === 0x31).map(r2tFields)
        const expected = []
        for (let offset = unasked, r2tSn = 0; offset < length; offset += MAX_BURST) {
          expected.push({ r2tSn: r2tSn++, offset, length: Math.min(MAX_BURST, length - offset) })
        }
        expect(r2ts.map(({ r2tSn, offset, length }) => ({ r2tSn, offset, length }))).toEqual(expected)
        // §11.4.8: the R2Ts are counted.
        expect(outcome.pdus.at(-1)!.bhs.readUInt32BE(36)).toBe(expected.length)
        expect({ status: outcome.status, residual: outcome.residualCount }).toEqual({ status: 0, residual: 0 })
      }
      const outcome = await initiator.command(read10(0, 512), { read: model.length })
      expect(outcome.data.equals(model)).toBe(true)
      await initiator.leave()
    })
  })
})

describe('RFC 7143 §11.8: R2T', () => {
  it('has these bytes, echoes the LUN and shows the next StatSN without taking it', async () => {
    target = await TestTarget.start({ offer: small })
    const initiator = await login({ InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: 8192, tag: 0x01020304 })
    const { bhs } = await initiator.receiveOpcode(0x31)
    const statSn = initiator.expStatSn
    const expected = Buffer.from(
      '31800000' + // opcode, F
        '00000000' + // no AHS, no data
        '0000000000000000' + // LUN 0
        '01020304', // Initiator Task Tag
      'hex'
    )
    expect(bhs.subarray(0, 20)).toEqual(expected)
    expect(bhs.readUInt32BE(20)).not.toBe(0xffffffff)
    expect(bhs.readUInt32BE(24)).toBe(statSn)
    expect(bhs.readUInt32BE(28)).toBe(initiator.cmdSn)
    expect(bhs.readUInt32BE(32)).toBe(initiator.cmdSn + 126)
    // R2TSN 0, offset 0, 8192 bytes.
    expect(bhs.subarray(36)).toEqual(Buffer.from('000000000000000000002000', 'hex'))
    const ttt = bhs.readUInt32BE(20)
    const data = Buffer.alloc(4096, 0x5a)
    await sendDataOut(initiator, { tag, transferTag: ttt, offset: 0, final: false, data })
    await sendDataOut(initiator, { tag, transferTag: ttt, dataSn: 1, offset: 4096, data })
    const response = await initiator.receiveOpcode(0x21)
    expect(response.bhs.readUInt32BE(24)).toBe(statSn)
    await initiator.leave()
  })

  it.each([1, 2, 3, 8, 16])(
    'at most MaxOutstandingR2T=%i of them are open, and each that is answered makes room',
    async (most) => {
      target = await TestTarget.start({ offer: small })
      const initiator = await login({ InitialR2T: 'Yes', ImmediateData: 'No', MaxOutstandingR2T: String(most) })
      const bursts = 20
      const blocks = (bursts * MAX_BURST) / BLOCK
      const data = new Random(seedOf(3)).bytes(Buffer.alloc(bursts * MAX_BURST))
      const tag = await begin(initiator, write10(0, blocks), { flags: 0xa1, edtl: data.length })
      const open = []
      for (let index = 0; index < most; index++) open.push(r2tFields(await initiator.receiveOpcode(0x31)))
      // A NOP is answered after what was under way, so no further R2T is on its way now.
      const waiting = initiator.receiveOpcode(0x31)
      let early = false
      void waiting.then(() => (early = true))
      await initiator.nop()
      expect(early).toBe(false)
      const tags = new Set<number>()
      for (let sequence = 0; sequence < bursts; sequence++) {
        const r2t = open.shift()!
        expect(r2t).toMatchObject({ r2tSn: sequence, offset: sequence * MAX_BURST, length: MAX_BURST })
        expect(tags.has(r2t.transferTag)).toBe(false)
        tags.add(r2t.transferTag)
        const part = data.subarray(r2t.offset, r2t.offset + r2t.length)
        await initiator.dataOut(tag, r2t.transferTag, Buffer.alloc(8), data, r2t.offset, r2t.offset + part.length)
        if (sequence + most < bursts) {
          open.push(r2tFields(await (sequence === 0 ? waiting : initiator.receiveOpcode(0x31))))
        }
      }
      const response = await initiator.receiveOpcode(0x21)
      expect(response.bhs[3]).toBe(0)
      const outcome = await initiator.command(read10(0, blocks), { read: data.length })
      expect(outcome.data.equals(data)).toBe(true)
      await initiator.leave()
    }
  )
})

describe('RFC 7143 §11.7: Data-In', () => {
  it('comes in PDUs as long as the initiator takes, F at the end of each burst, the status in the last', async () => {
    target = await TestTarget.start({ offer: small })
    const initiator = await login()
    const length = 40 * BLOCK
    const outcome = await initiator.command(read10(0, 40), { read: length })
    // 20480 bytes in bursts of 16384 of PDUs of 3072: 5 whole ones and 1024, then 3072 and 1024.
    const shape = outcome.pdus.map((pdu) => ({
      opcode: pdu.opcode,
      flags: pdu.bhs[1],
      length: pdu.data.length,
      dataSn: pdu.bhs.readUInt32BE(36),
      offset: pdu.bhs.readUInt32BE(40)
    }))
    expect(shape).toEqual([
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 0, offset: 0 },
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 1, offset: 3072 },
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 2, offset: 6144 },
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 3, offset: 9216 },
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 4, offset: 12288 },
      { opcode: 0x25, flags: 0x80, length: 1024, dataSn: 5, offset: 15360 },
      { opcode: 0x25, flags: 0x00, length: 3072, dataSn: 6, offset: 16384 },
      { opcode: 0x25, flags: 0x81, length: 1024, dataSn: 7, offset: 19456 }
    ])
    for (const pdu of outcome.pdus) expect(pdu.bhs.readUInt32BE(20)).toBe(0xffffffff)
    // StatSN is reserved where there is no status.
    for (const pdu of outcome.pdus.slice(0, -1)) expect(pdu.bhs.readUInt32BE(24)).toBe(0)
    await initiator.leave()
  })

  it('gives way to a SCSI Response when the read fails in the middle, with ExpDataSN and the residual', async () => {
    target = await TestTarget.start({ offer: small })
    const volume = target.volumes[0]! as unknown as { _tryRead: (...args: number[]) => boolean }
    const tryRead = volume._tryRead.bind(volume)
    volume._tryRead = (buffer, start, length, offset) => {
      if (offset >= 6144) throw Object.assign(new Error('a bad spot'), { code: 'EIO' })
      return tryRead(buffer, start, length, offset)
    }
    const initiator = await login()
    const outcome = await initiator.command(read10(0, 40), { read: 40 * BLOCK })
    expect(outcome.pdus.map((pdu) => pdu.opcode)).toEqual([0x25, 0x25, 0x21])
    expect(outcome.senseText).toBe('03/11/00')
    expect(outcome.pdus[2]!.bhs.readUInt32BE(36)).toBe(2)
    expect({ underflow: outcome.underflow, count: outcome.residualCount }).toEqual({ underflow: true, count: 14336 })
    await initiator.leave()
  })
})

describe.each([
  ['None', 'None'],
  ['CRC32C', 'None'],
  ['None', 'CRC32C'],
  ['CRC32C', 'CRC32C']
])('RFC 7143 §13.1: with HeaderDigest=%s and DataDigest=%s', (header, data) => {
  it('data of every length mod 4 and all kinds of PDU come through', async () => {
    target = await TestTarget.start({ offer: small })
    const initiator = await login({ HeaderDigest: header, DataDigest: data })
    expect([initiator.headerDigest, initiator.dataDigest]).toEqual([header === 'CRC32C', data === 'CRC32C'])
    const random = new Random(seedOf(11))
    const bytes = random.bytes(Buffer.alloc(100 * BLOCK))
    expect((await initiator.command(write10(5, 100), { write: bytes })).status).toBe(0)
    expect((await initiator.command(read10(5, 100), { read: bytes.length })).data.equals(bytes)).toBe(true)
    for (let length = 0; length < 6; length++) {
      const ping = random.bytes(Buffer.alloc(length))
      expect((await initiator.nop(ping)).data.equals(ping)).toBe(true)
    }
    expect(await initiator.sendTargets('')).toEqual([
      ['TargetName', TARGET_NAME],
      ['TargetAddress', `127.0.0.1:${target.port},1`]
    ])
    expect((await initiator.command([0xff], {})).senseText).toBe('05/20/00')
    await initiator.leave()
  })
})

describe('RFC 7143 §7.7, §7.8: a wrong digest', () => {
  it('of a header closes the connection, without a Reject', async () => {
    target = await TestTarget.start()
    const initiator = await login({ HeaderDigest: 'CRC32C' })
    const bytes = initiator.frame(Buffer.concat([Buffer.from([0x40, 0x80]), Buffer.alloc(46)]))
    bytes[48]! ^= 1
    await initiator.send(bytes)
    await initiator.closed()
    await expect(initiator.receiveOpcode(0x3f)).rejects.toThrow('closed')
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end).toEqual({ kind: 'lost', cause: 'the header digest is wrong' })
  })

  it('of a Data-Out is rejected with reason 02h and its header, and the write is not good', async () => {
    target = await TestTarget.start({ offer: small })
    const initiator = await login({ DataDigest: 'CRC32C', InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: 8192 })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    const header = Buffer.alloc(48)
    header[0] = 0x05
    header.writeUInt32BE(tag, 16)
    header.writeUInt32BE(transferTag, 20)
    const bytes = initiator.frame(header, Buffer.alloc(4096, 1))
    bytes[60]! ^= 1
    await initiator.send(bytes)
    const reject = await initiator.receiveOpcode(0x3f)
    expect(reject.bhs[2]).toBe(0x02)
    expect(reject.data).toEqual(Buffer.concat([bytes.subarray(0, 48)]))
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 4096, data: Buffer.alloc(4096, 2) })
    const response = await initiator.receiveOpcode(0x21)
    expect(response.bhs[3]).toBe(0x02)
    const outcome = await initiator.command(read10(0, 16), { read: 8192 })
    expect(outcome.data.equals(Buffer.alloc(8192))).toBe(true)
    await initiator.leave()
  })

  it('of a command leaves its CmdSN to be sent again', async () => {
    target = await TestTarget.start({ offer: small })
    const initiator = await login({ DataDigest: 'CRC32C' })
    const header = Buffer.alloc(48)
    header[0] = 0x01
    header[1] = 0xa1
    header.writeUInt32BE(0x77, 16)
    header.writeUInt32BE(BLOCK, 20)
    initiator.stamp(header, true)
    Buffer.from(write10(3, 1)).copy(header, 32)
    const data = Buffer.alloc(BLOCK, 9)
    const bytes = initiator.frame(header, data)
    bytes[50]! ^= 0x10
    await initiator.send(bytes)
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x02)
    const next = initiator.command(read10(3, 1), { read: BLOCK })
    await initiator.send(initiator.frame(header, data))
    expect((await initiator.receiveOpcode(0x21)).bhs.readUInt32BE(16)).toBe(0x77)
    expect((await next).data.equals(data)).toBe(true)
    await initiator.leave()
  })
})
