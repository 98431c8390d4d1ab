import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { CROWDED_TURN_INPUT } from '../../lib/iscsi/limits.js'
import { ReadingOrder } from '../../lib/iscsi/reading-order.js'
import { IscsiSocket, plainAddress, type ByteConsumer } from '../../lib/iscsi/socket.js'
import { Random, seedOf, steps } from '../support/random.js'

const RING_BYTES_MAX = 256 * 1024
const HEAD_LENGTH = 4

/** Takes units of a length and that many bytes, and stops between them as the spec orders. */
class UnitConsumer implements ByteConsumer {
  readonly units: Buffer[] = []
  neededBytes = HEAD_LENGTH
  unitBytes = 0
  stopped = false
  ended: boolean | undefined
  socket!: IscsiSocket
  private readonly whenGone: Promise<void>
  private tellGone!: () => void

  /** @param stopAfter - asked after each unit: stop now? */
  constructor(private readonly stopAfter: (consumer: UnitConsumer) => boolean) {
    this.whenGone = new Promise((resolve) => (this.tellGone = resolve))
  }

  consume(ring: Buffer, start: number, end: number): number {
    for (let at = start; ;) {
      if (this.stopped) return at
      this.neededBytes = HEAD_LENGTH
      if (end - at < HEAD_LENGTH) return at
      this.neededBytes = HEAD_LENGTH + ring.readUInt32BE(at)
      if (end - at < this.neededBytes) return at
      this.units.push(Buffer.from(ring.subarray(at + HEAD_LENGTH, at + this.neededBytes)))
      this.unitBytes = this.neededBytes
      at += this.neededBytes
      if (!this.stopAfter(this)) continue
      this.stopped = true
      this.socket.pause()
    }
  }

  go(): void {
    this.stopped = false
    this.socket.resume()
  }

  disconnected(ended: boolean): void {
    this.ended = ended
    this.tellGone()
  }

  gone(): Promise<void> {
    return this.whenGone
  }
}

const servers: ReturnType<typeof createServer>[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function pair(consumer: UnitConsumer, positionedReads: boolean): Promise<Socket> {
  const server = createServer({ pauseOnConnect: true })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  consumer.socket = new IscsiSocket(accepted, consumer, { positionedReads, ringBytesMax: RING_BYTES_MAX })
  return client
}

/** What the kernel is asked for, below what Node remembers of it: every TCP handle has one prototype. */
function recordNoDelay(): { readonly calls: boolean[]; stop: () => void } {
  const probe = connect(1, '127.0.0.1').on('error', () => undefined)
  const { _handle } = probe as unknown as { _handle: object }
  const prototype = Object.getPrototypeOf(_handle) as { setNoDelay: (on: boolean) => number }
  const original = prototype.setNoDelay
  const calls: boolean[] = []
  prototype.setNoDelay = function (on) {
    calls.push(on)
    return original.call(this, on)
  }
  probe.destroy()
  return { calls, stop: () => (prototype.setNoDelay = original) }
}

function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

function unit(payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_LENGTH)
  head.writeUInt32BE(payload.length)
  return Buffer.concat([head, payload])
}

describe.each([true, false])('a socket with positioned reads: %s', (positionedReads) => {
  it.each([1, 2].map((seed) => seedOf(seed)))(
    'gives every byte in order however often its consumer stops (seed %i)',
    async (seed) => {
      const random = new Random(seed)
      const consumer = new UnitConsumer((self) => {
        if (!random.chance(0.2)) return false
        setImmediate(() => self.go())
        return true
      })
      const client = await pair(consumer, positionedReads)
      const sent: Buffer[] = []
      for (let index = 0; index < steps(1500); index++) {
        const length = random.chance(0.02) ? random.int(100_000) : random.int(300)
        sent.push(random.bytes(Buffer.alloc(length)))
      }
      let stream = Buffer.concat(sent.map(unit))
      while (stream.length > 0) {
        const cut = random.chance(0.3) ? 1 + random.int(50) : 1 + random.int(200_000)
        if (!client.write(stream.subarray(0, cut))) await once(client, 'drain')
        stream = stream.subarray(cut)
      }
      while (consumer.units.length < sent.length && consumer.ended === undefined) await turn()
      client.end()
      await consumer.gone()
      expect(consumer.units.length).toBe(sent.length)
      expect(Buffer.concat(consumer.units).equals(Buffer.concat(sent))).toBe(true)
      expect(consumer.ended).toBe(true)
    }
  )

  it('uses the same ring again for every unit that comes in two parts', async () => {
    const consumer = new UnitConsumer(() => false)
    const client = await pair(consumer, positionedReads)
    const half = async (bytes: Buffer, units: number) => {
      const before = consumer.socket.receivedBytes
      client.write(bytes)
      while (consumer.socket.receivedBytes < before + bytes.length || consumer.units.length < units) await turn()
    }
    const whole = unit(Buffer.alloc(65_536))
    const made = jest.spyOn(Buffer, 'allocUnsafeSlow')
    try {
      for (let index = 1; index <= 20; index++) {
        await half(whole.subarray(0, 30_000), index - 1)
        await half(whole.subarray(30_000), index)
      }
      expect(made.mock.calls.length).toBeLessThanOrEqual(1)
    } finally {
      made.mockRestore()
      client.destroy()
    }
    await consumer.gone()
  })

  it.each([3, 4].map((seed) => seedOf(seed)))(
    'keeps the bytes of several connections apart (seed %i)',
    async (seed) => {
      const random = new Random(seed)
      const flows = []
      for (let index = 0; index < 4; index++) {
        const consumer = new UnitConsumer((self) => {
          if (!random.chance(0.1)) return false
          setImmediate(() => self.go())
          return true
        })
        const client = await pair(consumer, positionedReads)
        const sent = Array.from({ length: steps(300) }, () =>
          random.bytes(Buffer.alloc(random.int(random.chance(0.1) ? 100_000 : 500)))
        )
        flows.push({ consumer, client, sent, stream: Buffer.concat(sent.map(unit)) })
      }
      while (flows.some(({ stream }) => stream.length > 0)) {
        for (const flow of flows) {
          const cut = 1 + random.int(random.chance(0.5) ? 100 : 300_000)
          flow.client.write(flow.stream.subarray(0, cut))
          flow.stream = flow.stream.subarray(cut)
        }
        await turn()
      }
      for (const { consumer, client, sent } of flows) {
        while (consumer.units.length < sent.length && consumer.ended === undefined) await turn()
        client.end()
        await consumer.gone()
        expect(consumer.units.length).toBe(sent.length)
        expect(Buffer.concat(consumer.units).equals(Buffer.concat(sent))).toBe(true)
      }
    }
  )

  it('has TCP_NODELAY set on the connection itself before it reads: Nagle costs Windows 40 ms a command', async () => {
    const recorded = recordNoDelay()
    try {
      const client = await pair(new UnitConsumer(() => false), positionedReads)
      expect(recorded.calls).toEqual([true])
      client.destroy()
    } finally {
      recorded.stop()
    }
  })

  it('reads on at the right place when everything was consumed while it was stopped', async () => {
    const consumer = new UnitConsumer((self) => self.units.length === 1)
    const client = await pair(consumer, positionedReads)
    client.write(Buffer.concat([unit(Buffer.from('first')), unit(Buffer.from('second'))]))
    while (consumer.units.length < 1) await turn()
    consumer.go()
    expect(consumer.units.length).toBe(2)
    client.end(unit(Buffer.from('third')))
    await consumer.gone()
    expect(consumer.units.map(String)).toEqual(['first', 'second', 'third'])
  })

  it('stops reading while its consumer is stopped', async () => {
    const consumer = new UnitConsumer(() => true)
    const client = await pair(consumer, positionedReads)
    const bulk = unit(Buffer.alloc(60_000, 1))
    let written = 0
    // Until the buffers of both kernels are full: 64 MiB would be more than any default.
    while (written < 64 * 1024 * 1024 && client.writableLength < 4 * 1024 * 1024) {
      client.write(bulk)
      written += bulk.length
      await turn()
    }
    expect(client.writableLength).toBeGreaterThan(0)
    expect(consumer.units.length).toBe(1)
    expect(consumer.socket.receivedBytes).toBeLessThanOrEqual(RING_BYTES_MAX + 65536)
    consumer.socket.destroy()
    await consumer.gone()
    client.destroy()
  })

  it('takes a unit that is as long as half its ring', async () => {
    const consumer = new UnitConsumer(() => false)
    const client = await pair(consumer, positionedReads)
    const payload = new Random(5).bytes(Buffer.alloc(RING_BYTES_MAX / 2 - HEAD_LENGTH))
    client.end(Buffer.concat([unit(payload), unit(payload), unit(Buffer.alloc(0)), unit(payload)]))
    await consumer.gone()
    expect(consumer.units.map((bytes) => bytes.equals(payload))).toEqual([true, true, false, true])
  })

  it('releases what is written once, in order, and bytes that the kernel has taken at once', async () => {
    const consumer = new UnitConsumer(() => false)
    const client = await pair(consumer, positionedReads)
    const released: number[] = []
    const write = (index: number, length: number) =>
      consumer.socket.write(Buffer.alloc(length, index), () => released.push(index))
    write(0, 100)
    write(1, 200)
    expect(released).toEqual([0, 1])
    // More than both kernels hold for a peer that does not read.
    let count = 2
    while (consumer.socket.waitingBytes < 4 << 20) write(count++, 1 << 20)
    expect(released.length).toBeLessThan(count)
    let received = 0
    client.on('data', (bytes: Buffer) => (received += bytes.length))
    while (released.length < count) await turn()
    for (let i = 0; i < 5; i++) write(count++, 10)
    while (received < consumer.socket.sentBytes) await turn()
    expect(released).toEqual(Array.from({ length: count }, (_, index) => index))
    client.destroy()
    await consumer.gone()
  })

  it('releases what the peer never took when the connection ends', async () => {
    const consumer = new UnitConsumer(() => false)
    const client = await pair(consumer, positionedReads)
    const released: number[] = []
    for (let index = 0; consumer.socket.waitingBytes < 4 << 20; index++) {
      consumer.socket.write(Buffer.alloc(1 << 20), () => released.push(index))
    }
    const before = released.length
    client.resetAndDestroy()
    await consumer.gone()
    await turn()
    expect(released.length).toBeGreaterThan(before)
    expect(consumer.socket.waitingBytes).toBe(0)
    expect(released).toEqual(released.map((_, index) => index))
  })

  it('throws away what comes after finish, even of a consumer that is stopped, and sees the FIN', async () => {
    const consumer = new UnitConsumer(() => true)
    const client = await pair(consumer, positionedReads)
    client.write(unit(Buffer.from('one')))
    while (consumer.units.length < 1) await turn()
    consumer.socket.finish()
    client.resume()
    client.write(unit(Buffer.alloc(1_000_000)))
    client.end()
    await consumer.gone()
    expect(consumer.units.length).toBe(1)
    expect(consumer.ended).toBe(true)
  })

  it('tells a reset from an orderly end', async () => {
    const consumer = new UnitConsumer(() => false)
    const client = await pair(consumer, positionedReads)
    client.resetAndDestroy()
    await consumer.gone()
    expect(consumer.ended).toBe(false)
  })
})

describe('sockets with positioned reads', () => {
  it('take a part of what one peer has sent, then have a look at the others', async () => {
    const turns = new Map<number, number>()
    let turnNumber = 0
    let counting = true
    const count = () => {
      turnNumber++
      if (counting) setImmediate(count)
    }
    setImmediate(count)
    const flood = new UnitConsumer(({ neededBytes }) => {
      turns.set(turnNumber, (turns.get(turnNumber) ?? 0) + neededBytes)
      return false
    })
    const other = new UnitConsumer(() => false)
    const flooding = await pair(flood, true)
    const asking = await pair(other, true)
    asking.write(unit(Buffer.from('0')))
    while (other.units.length < 1) await turn()
    const piece = unit(Buffer.alloc(20_000))
    for (let i = 0; i < 100; i++) flooding.write(piece)
    while (flood.units.length < 100) {
      asking.write(unit(Buffer.from('more')))
      await turn()
    }
    counting = false
    // A turn ends with the unit that was begun in the one before.
    expect(Math.max(...turns.values())).toBeLessThanOrEqual(CROWDED_TURN_INPUT + piece.length)
    flooding.destroy()
    asking.destroy()
    await Promise.all([flood.gone(), other.gone()])
  })
})

describe('sockets in a crowd', () => {
  it.each([seedOf(5)])(
    'lose nothing and keep the order, although each gives way now and then, seed %d',
    async (seed) => {
      const random = new Random(seed)
      const gaveWay = jest.spyOn(ReadingOrder.prototype, 'next')
      const consumers = Array.from({ length: 16 }, () => new UnitConsumer(() => false))
      const clients = await Promise.all(consumers.map((consumer) => pair(consumer, true)))
      const sent = consumers.map(() => [] as number[])
      for (let round = 0; round < steps(60); round++) {
        const parts = clients.map((client, index) => {
          const value = random.int(2 ** 32)
          sent[index]!.push(value)
          const unit = Buffer.alloc(HEAD_LENGTH + 4)
          unit.writeUInt32BE(4)
          unit.writeUInt32BE(value, HEAD_LENGTH)
          const cut = random.int(unit.length)
          client.write(unit.subarray(0, cut))
          return unit.subarray(cut)
        })
        for (const [index, client] of clients.entries()) client.write(parts[index]!)
        if (round % 8 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      for (const client of clients) client.end()
      await Promise.all(consumers.map((consumer) => consumer.gone()))
      for (const [index, consumer] of consumers.entries()) {
        expect(consumer.units.map((unit) => unit.readUInt32BE())).toEqual(sent[index])
      }
      expect(gaveWay.mock.results.filter(({ value }) => value === true).length).toBeGreaterThan(0)
      gaveWay.mockRestore()
    }
  )
})

describe('an address', () => {
  it.each([
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['192.0.2.7', '192.0.2.7'],
    [undefined, '']
  ])('%s is %s without prefix and zone', (address, plain) => {
    expect(plainAddress(address)).toBe(plain)
  })
})
