import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { BATCH_LENGTH, BUFFERS_PER_WRITER_MAX, PduWriter, SENT_DATA_LENGTH_MAX } from '../../lib/pdu/writer.js'
import { BufferPool } from '../../lib/util/buffer-pool.js'
import { takeApart } from '../support/pdu-builder.js'
import { Random, seedOf, steps } from '../support/random.js'

const DIGESTS = [
  { headerDigest: false, dataDigest: false },
  { headerDigest: true, dataDigest: false },
  { headerDigest: false, dataDigest: true },
  { headerDigest: true, dataDigest: true }
]
const DIRT = 0xee

/** A socket that keeps what it is given and releases it when told to. */
class SlowSocket {
  readonly sends: { view: Buffer; copy: Buffer; release: () => void }[] = []
  readonly released: Buffer[] = []

  readonly send = (buffer: Buffer, start: number, end: number, release: () => void): void => {
    const view = buffer.subarray(start, end)
    this.sends.push({ view, copy: Buffer.from(view), release })
  }

  /** The write callback of the oldest send; its bytes must still be what was sent. */
  release(): void {
    const { view, copy, release } = this.sends.shift()!
    assert(view.equals(copy), 'bytes on their way were overwritten')
    this.released.push(copy)
    release()
  }

  releaseAll(): void {
    while (this.sends.length > 0) this.release()
  }

  /** All bytes in the order in which they were sent. */
  bytes(): Buffer {
    return Buffer.concat([...this.released, ...this.sends.map(({ copy }) => copy)])
  }
}

/** A pool of dirty buffers, a socket and a writer. */
function setUp({ capacity = 8, lengthBytes = 256, reserve = 0 } = {}) {
  const pool = new BufferPool({ capacity, lengthBytes, reserve })
  const idle = { released: () => {}, resume: () => {} }
  const buffers = Array.from({ length: capacity }, () => pool.take(idle, 0)!)
  for (const buffer of buffers) pool.give(Object.assign(buffer, { bytes: buffer.bytes.fill(DIRT) }))
  const socket = new SlowSocket()
  const calls = { drained: 0 }
  const writer = new PduWriter(pool, socket.send, () => calls.drained++)
  return { pool, socket, writer, calls }
}

/** Writes one PDU whose header says `tag` and whose payload is `data`; false when there was no room. */
function put(writer: PduWriter, tag: number, data = '', reserved = data.length): boolean {
  const offset = writer.begin(reserved)
  if (offset < 0) return false
  writer.buffer[offset] = 0x20
  writer.buffer.writeUInt32BE(tag, offset + 16)
  writer.buffer.write(data, writer.dataOffset, 'latin1')
  writer.end(data.length)
  return true
}

/** What a peer reads: tags and payloads. */
function read(bytes: Buffer, digests = {}): [number, string][] {
  const { pdus, rest } = takeApart(bytes, digests)
  expect(rest).toHaveLength(0)
  return pdus.map(({ bhs, data }) => [bhs.readUInt32BE(16), data.toString('latin1')])
}

describe('a PduWriter', () => {
  it('writes a zeroed header, its length, the data and zero padding over whatever was there', () => {
    const { writer, socket } = setUp()
    put(writer, 0x01020304, 'hello')
    writer.flush()
    const header = '2000000000000005' + '0000000000000000' + '01020304' + '00'.repeat(28)
    expect(socket.bytes().toString('hex')).toBe(`${header}68656c6c6f000000`)
  })

  it('puts a header digest behind the header and a data digest behind the padding', () => {
    const { writer, socket } = setUp()
    Object.assign(writer, { headerDigest: true, dataDigest: true })
    // RFC 3720 B.4: 32 zero bytes have the digest aa36918a; the padding that completes them counts.
    writer.begin(30)
    writer.buffer.fill(0, writer.dataOffset, writer.dataOffset + 30)
    writer.end(30)
    writer.flush()
    const bytes = socket.bytes()
    expect(bytes).toHaveLength(48 + 4 + 32 + 4)
    expect(bytes.toString('hex', 84)).toBe('aa36918a')
  })

  it.each(DIGESTS)('gives a peer with digests %j the PDUs in order, in one send', (digests) => {
    const { writer, socket } = setUp({ lengthBytes: 512 })
    Object.assign(writer, digests)
    const expected: [number, string][] = [
      [1, ''],
      [2, 'a'],
      [3, 'ab'],
      [4, 'abc'],
      [5, 'abcd']
    ]
    for (const [tag, data] of expected) put(writer, tag, data)
    expect(socket.sends).toHaveLength(0)
    writer.flush()
    expect(socket.sends).toHaveLength(1)
    expect(read(socket.bytes(), digests)).toEqual(expected)
  })

  it('obeys a change of digests from the next PDU', () => {
    const { writer, socket } = setUp()
    const offset = writer.begin(4)
    Object.assign(writer, { headerDigest: true, dataDigest: true })
    writer.buffer.write('abcd', offset + 48)
    writer.end(4)
    put(writer, 7, 'efgh')
    writer.flush()
    expect(read(socket.bytes().subarray(0, 52))).toEqual([[0, 'abcd']])
    expect(read(socket.bytes().subarray(52), { headerDigest: true, dataDigest: true })).toEqual([[7, 'efgh']])
  })

  it.each(DIGESTS)('takes less data than was reserved, down to none, with digests %j', (digests) => {
    const { writer, socket } = setUp()
    Object.assign(writer, digests)
    put(writer, 1, 'ab', 50)
    put(writer, 2, '', 50)
    put(writer, 3, 'c', 1)
    writer.flush()
    expect(read(socket.bytes(), digests)).toEqual([
      [1, 'ab'],
      [2, ''],
      [3, 'c']
    ])
  })

  it('forgets a cancelled PDU', () => {
    const { writer, socket, pool } = setUp()
    put(writer, 1)
    writer.begin(20)
    writer.cancel()
    put(writer, 2)
    writer.flush()
    expect(read(socket.bytes())).toEqual([
      [1, ''],
      [2, '']
    ])
    socket.releaseAll()
    writer.begin(20)
    writer.cancel()
    expect(pool.used).toBe(0)
  })

  it('sends nothing when nothing was ended', () => {
    const { writer, socket } = setUp()
    writer.flush()
    writer.begin(0)
    writer.flush()
    expect(socket.sends).toHaveLength(0)
    writer.end(0)
    expect(writer.pending).toBe(48)
    writer.flush()
    writer.flush()
    expect(socket.sends).toHaveLength(1)
    expect(writer.pending).toBe(0)
  })

  it('sends the batch first when a PDU does not fit behind it, so that each is in one piece', () => {
    const { writer, socket } = setUp({ lengthBytes: 256 })
    for (let tag = 1; tag <= 5; tag++) put(writer, tag)
    expect(socket.sends).toHaveLength(0)
    put(writer, 6)
    expect(read(socket.bytes())).toHaveLength(5)
    writer.flush()
    expect(read(socket.bytes()).map(([tag]) => tag)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('fills a buffer to its last byte, behind another PDU or alone', () => {
    const { writer, socket } = setUp({ lengthBytes: 256 })
    put(writer, 1)
    put(writer, 2, 'x'.repeat(160))
    expect(socket.sends).toHaveLength(0)
    put(writer, 3, 'x'.repeat(208))
    writer.flush()
    expect(socket.sends.map(({ copy }) => copy.length)).toEqual([256, 256])
  })
})

describe('the buffers of a PduWriter', () => {
  it('go back to the pool when what was sent is released and nothing waits', () => {
    const { writer, socket, pool } = setUp()
    put(writer, 1)
    writer.flush()
    put(writer, 2)
    socket.release()
    expect(pool.used).toBe(1)
    writer.flush()
    socket.release()
    expect(pool.used).toBe(0)
  })

  it('are shared by small sends until they are full', () => {
    const { writer, socket, pool } = setUp({ lengthBytes: 256 })
    for (let tag = 1; tag <= 5; tag++) {
      put(writer, tag)
      writer.flush()
    }
    expect([pool.used, socket.sends.length]).toEqual([1, 5])
    put(writer, 6)
    expect(pool.used).toBe(2)
    writer.flush()
    socket.releaseAll()
    expect(pool.used).toBe(0)
    expect(read(socket.bytes()).map(([tag]) => tag)).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('come back too when a send releases at once', () => {
    const pool = new BufferPool({ capacity: 2, lengthBytes: 256 })
    const sent: Buffer[] = []
    const writer = new PduWriter(pool, (buffer, start, end, release) => {
      sent.push(Buffer.from(buffer.subarray(start, end)))
      release()
    })
    for (let tag = 1; tag <= 12; tag++) put(writer, tag)
    writer.flush()
    expect(read(Buffer.concat(sent)).map(([tag]) => tag)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    expect(pool.used).toBe(0)
  })

  it('end at a bound when the peer does not read, and the writer is told when there is room', async () => {
    const { writer, socket, pool, calls } = setUp({ capacity: 8, lengthBytes: 64 })
    let tag = 0
    while (put(writer, tag + 1)) tag++
    expect(tag).toBe(BUFFERS_PER_WRITER_MAX)
    // What had been ended is on its way, or nobody would ever release anything.
    expect([socket.sends.length, writer.pending, pool.used]).toEqual([tag, 0, tag])
    await Promise.resolve()
    expect(calls.drained).toBe(0)
    socket.release()
    expect(calls.drained).toBe(0)
    await Promise.resolve()
    expect(calls.drained).toBe(1)
    expect(put(writer, tag + 1)).toBe(true)
    socket.release()
    await Promise.resolve()
    expect(calls.drained).toBe(1)
  })

  it('can run out because of others, whose release wakes the writer', async () => {
    const { pool } = setUp({ capacity: 2, lengthBytes: 64 })
    const [mine, theirs] = [new SlowSocket(), new SlowSocket()]
    let drained = 0
    const waiting = new PduWriter(pool, mine.send, () => drained++)
    const greedy = new PduWriter(pool, theirs.send)
    put(greedy, 1)
    put(greedy, 2)
    expect(waiting.begin(0)).toBe(-1)
    theirs.release()
    await Promise.resolve()
    expect(drained).toBe(1)
    expect(put(waiting, 3)).toBe(true)
  })

  it('leave one for each other writer when there is a reserve', () => {
    const { pool } = setUp({ capacity: 4, lengthBytes: 64, reserve: 2 })
    const greedy = new PduWriter(pool, new SlowSocket().send)
    const others = [0, 1].map(() => new PduWriter(pool, new SlowSocket().send))
    while (put(greedy, 1));
    expect(pool.used).toBe(2)
    expect(others.map((other) => put(other, 1))).toEqual([true, true])
  })
})

describe('a destroyed PduWriter', () => {
  it('drops what was not sent and gives its buffers back as they are released', () => {
    const { writer, socket, pool } = setUp({ lengthBytes: 256 })
    put(writer, 1, 'x'.repeat(200))
    put(writer, 2)
    writer.flush()
    put(writer, 3)
    writer.begin(10)
    writer.destroy()
    expect(writer.pending).toBe(0)
    writer.flush()
    expect([socket.sends.length, pool.used]).toEqual([2, 2])
    socket.releaseAll()
    expect(pool.used).toBe(0)
  })

  it('gives a buffer back at once from which nothing was sent', () => {
    const { writer, pool } = setUp()
    put(writer, 1)
    writer.destroy()
    expect(pool.used).toBe(0)
  })

  it('begins nothing and is not called any more', async () => {
    const { writer, socket, calls } = setUp({ capacity: 1, lengthBytes: 64 })
    put(writer, 1)
    expect(put(writer, 2)).toBe(false)
    writer.destroy()
    expect(writer.begin(0)).toBe(-1)
    socket.release()
    await Promise.resolve()
    expect(calls.drained).toBe(0)
  })
})

describe('mistakes of the caller', () => {
  it.each<[string, (writer: PduWriter) => void]>([
    ['a PDU within another', (writer) => (writer.begin(0), writer.begin(0))],
    ['an end without a beginning', (writer) => writer.end(0)],
    ['an end twice', (writer) => (writer.begin(0), writer.end(0), writer.end(0))],
    ['a cancel without a beginning', (writer) => writer.cancel()],
    ['more data than was reserved', (writer) => (writer.begin(3), writer.end(4))],
    ['a PDU longer than a batch', (writer) => writer.begin(256 - 48 + 1)]
  ])('are assertions: %s', (_title, mistake) => {
    expect(() => mistake(setUp({ lengthBytes: 256 }).writer)).toThrow(
      expect.objectContaining({ name: 'AssertionError' })
    )
  })

  it('the longest data segment fits into a batch with both digests', () => {
    expect(SENT_DATA_LENGTH_MAX + 48 + 8).toBeLessThanOrEqual(BATCH_LENGTH)
  })
})

describe('any mixture of steps', () => {
  const seed = seedOf(11)
  it(`gives the peer what was ended, in order, overwrites nothing on its way and leaks no buffer, seed ${seed}`, () => {
    const random = new Random(seed)
    for (let round = 0; round < steps(100); round++) {
      const digests = random.pick(DIGESTS)
      const { pool, socket, writer } = setUp({ capacity: 1 + random.int(6), lengthBytes: 128 + random.int(400) })
      Object.assign(writer, digests)
      const expected: [number, string][] = []
      for (let step = 0; step < 200; step++) {
        if (random.chance(0.3)) writer.flush()
        if (random.chance(0.4) && socket.sends.length > 0) socket.release()
        const data = String.fromCharCode(97 + random.int(26)).repeat(random.int(64))
        if (random.chance(0.1)) {
          if (writer.begin(data.length) >= 0) writer.cancel()
        } else if (put(writer, step, data, data.length + random.int(8))) expected.push([step, data])
      }
      writer.flush()
      socket.releaseAll()
      expect(read(socket.bytes(), digests)).toEqual(expected)
      expect(pool.free).toBe(pool.capacity)
    }
  })
})
