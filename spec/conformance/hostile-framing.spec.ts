import { describe, expect, it } from '@jest/globals'
import { besiege } from '../support/besieged.js'
import { loginRequest, nopOut, scsiCommand, textOf } from '../support/pdu-builder.js'
import { Random, seedOf } from '../support/random.js'
import { BLOCK, begin, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import type { ScriptedInitiator } from '../support/scripted-initiator.js'
import { TARGET_NAME } from '../support/test-target.js'

/** Bytes that are no PDUs, or not quite; see besieged.ts for what is looked at after each. */
const siege = besiege()

const LOGIN = Buffer.concat([
  loginRequest({
    flags: 0x81,
    data: textOf('InitiatorName=iqn.2010-04.org.example:attacker', `TargetName=${TARGET_NAME}`, 'AuthMethod=None')
  }),
  loginRequest({ flags: 0x87, data: textOf('HeaderDigest=None', 'MaxRecvDataSegmentLength=65536') })
])

async function isLoggedIn(initiator: ScriptedInitiator): Promise<boolean> {
  const statuses = [await initiator.receiveOpcode(0x23), await initiator.receiveOpcode(0x23)]
  return statuses.every(({ bhs }) => bhs.readUInt16BE(36) === 0)
}

describe('RFC 7143 §4.2.8: a TCP stream has no segments', () => {
  it('a login in segments of one byte is answered as any other', async () => {
    const initiator = await siege.connect()
    for (const byte of LOGIN) {
      initiator.socket.write(Buffer.of(byte))
      if (byte % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await isLoggedIn(initiator)).toBe(true)
  })

  it('several PDUs in one segment are all answered, and so is a login cut at any byte', async () => {
    for (let cut = 1; cut < LOGIN.length; cut += 17) {
      const initiator = await siege.connect()
      await initiator.send(LOGIN.subarray(0, cut))
      await new Promise((resolve) => setImmediate(resolve))
      await initiator.send(Buffer.concat([LOGIN.subarray(cut), nopOut({ itt: 9, cmdSn: 1 }), nopOut({ itt: 10 })]))
      expect(await isLoggedIn(initiator)).toBe(true)
      expect((await initiator.receiveOpcode(0x20)).bhs.readUInt32BE(16)).toBe(9)
      expect((await initiator.receiveOpcode(0x20)).bhs.readUInt32BE(16)).toBe(10)
      await initiator.reset()
    }
  })
})

describe('RFC 7143 §11.12: a connection that does not log in', () => {
  it.each([0, 20, 48])('and has sent %i bytes is closed after 30 s', async (bytes) => {
    const initiator = await siege.connect()
    await siege.target.until(() => siege.target.connections.length === 2)
    await initiator.send(LOGIN.subarray(0, bytes))
    for (const connection of siege.target.connections) {
      if (!connection.session) Object.defineProperty(connection, 'since', { value: performance.now() - 30_001 })
    }
    await initiator.closed()
    await siege.target.until(() => siege.target.dropped.length === 1)
    expect(siege.target.dropped).toEqual(['login took too long'])
  })

  it('a thousand of them keep nobody out and take no more memory than is allowed', async () => {
    const crowd: ScriptedInitiator[] = []
    for (let count = 0; count < 1000; count++) {
      crowd.push(await siege.connect())
      if (count % 2) await crowd[count]!.send(LOGIN.subarray(0, 20))
    }
    const initiator = await siege.login({ localAddress: '127.0.0.5' })
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    expect(siege.target.connections.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(256 + 2)
    expect(siege.target.group.buffers.used).toBeLessThanOrEqual(4)
  }, 30_000)
})

describe('RFC 7143 §11.2.1.5, §7.7: lengths', () => {
  /** A header that announces this much. */
  const announcing = (bytes: number, ahsWords = 0) => {
    const header = loginRequest({ flags: 0x81 })
    header.writeUIntBE(bytes, 5, 3)
    header.writeUInt8(ahsWords, 4)
    return header
  }

  it.each([0xffffff, 8193])(
    'a data segment of %i bytes before the login closes, and nothing is set aside',
    async (length) => {
      const initiator = await siege.connect()
      const before = process.memoryUsage().arrayBuffers
      await initiator.send(announcing(length))
      await initiator.closed()
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024)
      expect(siege.target.dropped).toEqual([expect.stringMatching(/longer than we declared/)])
    }
  )

  it('a data segment longer than we declared closes a session', async () => {
    const initiator = await siege.login()
    await initiator.send(announcing(262_145))
    await initiator.closed()
  })

  it('TotalAHSLength 255 with 8192 bytes of data is one long PDU and no more', async () => {
    const initiator = await siege.connect()
    await initiator.send(Buffer.concat([announcing(8192, 255), Buffer.alloc(255 * 4 + 8192, 0x41)]))
    await initiator.closed()
    const logged = await siege.login()
    const ahs = Buffer.alloc(255 * 4)
    ahs.writeUInt16BE(1017, 0)
    ahs[2] = 0x3f
    await logged.send(scsiCommand({ itt: 5, cmdSn: logged.cmdSn++, cdb: TEST_UNIT_READY, ahs, data: Buffer.alloc(0) }))
    expect((await logged.receiveOpcode(0x21)).bhs[3]).toBe(0)
  })

  it.each([
    ['of 0', '00000100'],
    ['past its end', '00090100'],
    ['of 2 bytes where 5 belong', '00020200'],
    ['of 65535', 'ffff0100']
  ])('an AHSLength %s is rejected with 09h, and the next command runs', async (_what, ahs) => {
    const initiator = await siege.login()
    await initiator.send(scsiCommand({ itt: 5, cmdSn: initiator.cmdSn++, ahs: Buffer.from(ahs, 'hex') }))
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
  })

  it('padding that is not zero is let pass, and so is data that fills no word', async () => {
    const initiator = await siege.login()
    for (let length = 1; length < 9; length++) {
      const data = Buffer.alloc(length, 0x30 + length)
      await initiator.send(nopOut({ itt: length, cmdSn: initiator.cmdSn, data, padByte: 0xff }))
      const answer = await initiator.receiveOpcode(0x20)
      expect(answer.data.equals(data)).toBe(true)
    }
  })
})

describe('RFC 7143 §6.3: bytes of another protocol', () => {
  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: target.example\r\nUser-Agent: browser\r\nAccept: */*\r\n\r\n')],
    ['TLS', Buffer.from(`16030102000100${'01fc0303'.repeat(40)}`, 'hex')],
    ['noise', new Random(seedOf(7)).bytes(Buffer.alloc(5000))]
  ])('%s closes the connection with one line for the log', async (_what, bytes) => {
    const initiator = await siege.connect()
    await initiator.send(bytes).catch(() => undefined)
    await initiator.closed()
    await siege.target.until(() => siege.target.dropped.length === 1)
    expect(siege.target.dropped[0]!.length).toBeLessThan(200)
  })
})

describe('RFC 7143 §7.7, §7.8: digests', () => {
  const DIGESTS = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }

  it('a wrong header digest closes the connection', async () => {
    const initiator = await siege.login({ override: DIGESTS })
    const bytes = initiator.frame(scsiCommand({ cdb: TEST_UNIT_READY, cmdSn: initiator.cmdSn }))
    bytes[49]! ^= 1
    await initiator.send(bytes)
    await initiator.closed()
  })

  it('a wrong data digest is rejected with 02h, writes nothing, and the same CmdSN may come again', async () => {
    const initiator = await siege.login({ override: DIGESTS })
    const command = scsiCommand({ itt: 5, flags: 0xa1, edtl: BLOCK, cmdSn: initiator.cmdSn++, cdb: write10(3, 1) })
    const bytes = initiator.frame(command, Buffer.alloc(BLOCK, 0x77))
    bytes[60]! ^= 1
    await initiator.send(bytes)
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x02)
    bytes[60]! ^= 1
    for (const at of [0, bytes.length - 2, bytes.length - 1]) {
      const end = { 0: bytes.length - 2, [bytes.length - 2]: bytes.length - 1 }[at] ?? bytes.length
      await initiator.send(bytes.subarray(at, end))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await initiator.receiveOpcode(0x21)).bhs[3]).toBe(0)
    const seen = await initiator.command(read10(2, 3), { read: 3 * BLOCK })
    expect(seen.data.equals(Buffer.concat([Buffer.alloc(BLOCK), Buffer.alloc(BLOCK, 0x77), Buffer.alloc(BLOCK)]))).toBe(
      true
    )
  })
})

describe('RFC 7143 §11.2.1.2: an operation code that initiators do not have', () => {
  it.each([0x07, 0x1c, 0x1f, 0x20, 0x21, 0x31, 0x3f])(
    '%i is rejected with 05h in a session, and closes before one',
    async (opcode) => {
      const early = await siege.connect()
      const bytes = nopOut({})
      bytes[0] = 0x40 | opcode
      await early.send(bytes)
      await early.closed()
      const initiator = await siege.login()
      await initiator.send(bytes)
      expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x05)
      expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    }
  )
})

describe('RFC 7143 §7.11: a connection that ends in the middle', () => {
  const writes = (initiator: ScriptedInitiator) =>
    scsiCommand({
      itt: 5,
      flags: 0xa1,
      edtl: 4096,
      cmdSn: initiator.cmdSn++,
      cdb: write10(8, 8),
      data: Buffer.alloc(2048)
    })
  const logout = Buffer.from(`4680${'00'.repeat(14)}00000009000000000000000100000001${'00'.repeat(16)}`, 'hex')

  it.each([
    ['of a header', (initiator: ScriptedInitiator) => initiator.send(writes(initiator).subarray(0, 30))],
    ['of data', (initiator: ScriptedInitiator) => initiator.send(writes(initiator).subarray(0, 1000))],
    [
      'of a write that has its R2T',
      async (initiator: ScriptedInitiator) => {
        await begin(initiator, write10(0, 200), { flags: 0xa1, edtl: 200 * BLOCK })
        await initiator.receiveOpcode(0x31)
      }
    ],
    ['of a logout', (initiator: ScriptedInitiator) => initiator.send(logout.subarray(0, 40))],
    ['of a logout whose answer nobody reads', (initiator: ScriptedInitiator) => initiator.send(logout)]
  ])('%s, by FIN or RST, leaves nothing behind', async (_where, act) => {
    for (const way of ['close', 'reset'] as const) {
      const initiator = await siege.login()
      await act(initiator)
      await initiator[way]()
    }
    await siege.target.until(() => siege.target.connections.length === 1)
    expect(siege.target.ends.map(({ end }) => end.kind)).toHaveLength(2)
  })
})

describe('RFC 7143 §4.2.5: a client that reads nothing', () => {
  it('and asks for 64 MiB is answered as far as its output goes, and gets the rest when it reads', async () => {
    const initiator = await siege.login()
    initiator.socket.pause()
    const blocks = 1024
    for (let count = 0; count < 128; count++) {
      await begin(initiator, read10(0, blocks), { flags: 0xc1, edtl: blocks * BLOCK })
    }
    await siege.target.until(() => siege.target.connections.some((connection) => connection.stopped))
    // Four buffers of 320 KiB, and one for the other client.
    expect(siege.target.group.buffers.used).toBeLessThanOrEqual(5)
    initiator.socket.resume()
    let bytes = 0
    for (let answers = 0; answers < 128;) {
      const pdu = await initiator.receive()
      bytes += pdu.data.length
      if (pdu.opcode === 0x25 && pdu.bhs[1]! & 1) answers++
    }
    expect(bytes).toBe(128 * blocks * BLOCK)
  }, 30_000)
})
