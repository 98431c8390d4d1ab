import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32c as pduCrc32c, DIGEST_LENGTH, writeDigest } from '../../lib/pdu/digest.js'
import { scsiCommand } from '../../lib/pdu/initiator.js'
import { Opcode } from '../../lib/pdu/opcodes.js'
import { PduReader, type PduSink } from '../../lib/pdu/reader.js'
import { BATCH_LENGTH, PduWriter } from '../../lib/pdu/writer.js'
import { BufferPool } from '../../lib/util/buffer-pool.js'
import { crc32c as plainCrc32c } from '../../lib/util/crc32c.js'
import { Adaptive } from '../../lib/volume/adaptive.js'
import { AdaptiveRegions } from '../../lib/volume/adaptive-regions.js'
import { DeltaMap, ZERO } from '../../lib/volume/delta/delta-map.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { Overlay } from '../../lib/volume/layers/overlay.js'
import { writeVolume } from '../../lib/volume/promises.js'

/** CPU of one operation of one part, in nanoseconds: the best of several rounds, for a machine is never too quick. */
export interface MicroResult {
  readonly title: string
  readonly cpuNs: number
}

interface MicroBench {
  readonly title: string
  /** Does `count` operations. */
  readonly work: (count: number) => void
  readonly count: number
}

export async function runMicro(quick: boolean): Promise<readonly MicroResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cloudx-micro-'))
  const overlay = await openOverlay(folder, 'bench')
  const untouched = await openOverlay(folder, 'untouched')
  try {
    const benches = [
      ...pduBenches(),
      ...digestBenches(),
      ...mapBenches(),
      ...adaptiveBenches(),
      ...overlayBenches(overlay, untouched)
    ]
    return benches.map((bench) => measured(bench, quick))
  } finally {
    await overlay.close()
    await untouched.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function measured({ title, work, count }: MicroBench, quick: boolean): MicroResult {
  const rounds = quick ? 1 : ROUNDS
  const operations = quick ? Math.ceil(count / 50) : count
  let best = Infinity
  for (let round = 0; round <= rounds; round++) {
    const before = process.cpuUsage()
    work(operations)
    const { user, system } = process.cpuUsage(before)
    // The first round is the compiler's.
    if (round > 0 || quick) best = Math.min(best, ((user + system) * 1000) / operations)
  }
  process.stdout.write(`${title.padEnd(52)} ${best.toFixed(0).padStart(8)} ns\n`)
  return { title, cpuNs: best }
}

// Reader and writer.

function pduBenches(): MicroBench[] {
  return [
    { title: 'reader: a READ command', work: readerWork(0, false), count: 2_000_000 },
    { title: 'reader: a WRITE command with 4 KiB', work: readerWork(4096, false), count: 2_000_000 },
    { title: 'reader: the same with both digests', work: readerWork(4096, true), count: 100_000 },
    { title: 'writer: a PDU with room for 4 KiB', work: writerWork(4096, false), count: 2_000_000 },
    { title: 'writer: the same with both digests', work: writerWork(4096, true), count: 100_000 },
    { title: 'writer: a PDU without data', work: writerWork(0, false), count: 2_000_000 }
  ]
}

/** 32 commands behind each other, as one read of the socket brings them. */
function readerWork(dataLength: number, digests: boolean): (count: number) => void {
  const header = scsiCommand.make({ opcode: Opcode.ScsiCommand, flags: 0x81, dataSegmentLength: dataLength })
  const data = Buffer.alloc(dataLength)
  const parts = digests ? [header, digestOf(header), data, digestOf(data)] : [header, data]
  const command = Buffer.concat(parts)
  const ring = Buffer.concat(Array.from({ length: TURN }, () => command))
  const reader = new PduReader({ maxDataSegmentLength: 262144, headerDigest: digests, dataDigest: digests })
  let commands = 0
  const sink: PduSink = { pdu: () => ++commands > 0, reject: () => true, error: () => undefined }
  return (count) => {
    commands = 0
    for (let done = 0; done < count; done += TURN) reader.parse(ring, 0, ring.length, sink)
    if (commands < count) throw new Error(`the reader has found ${commands} of ${count} commands`)
  }
}

function digestOf(bytes: Buffer): Buffer {
  const digest = Buffer.alloc(DIGEST_LENGTH)
  writeDigest(digest, 0, pduCrc32c(bytes, 0, bytes.length))
  return digest
}

function writerWork(dataLength: number, digests: boolean): (count: number) => void {
  const pool = new BufferPool({ capacity: 4, lengthBytes: BATCH_LENGTH })
  const writer = new PduWriter(pool, (_buffer, _start, _end, release) => release())
  writer.headerDigest = writer.dataDigest = digests
  return (count) => {
    for (let done = 0; done < count; done++) {
      writer.begin(dataLength)
      writer.end(dataLength)
      if (done % TURN === 0) writer.flush()
    }
    writer.flush()
  }
}

// Digests.

function digestBenches(): MicroBench[] {
  const bytes = Buffer.alloc(65536, 0x5a)
  const sums = (length: number) => (count: number) => {
    for (let done = 0; done < count; done++) pduCrc32c(bytes, 0, length)
  }
  return [
    { title: 'digest of a header, 48 bytes', work: sums(48), count: 2_000_000 },
    { title: 'digest of 4 KiB', work: sums(4096), count: 200_000 },
    { title: 'digest of 64 KiB', work: sums(65536), count: 20_000 },
    {
      title: 'digest of 4 KiB without the native module',
      work: (count) => {
        for (let done = 0; done < count; done++) plainCrc32c(bytes, 0, 4096)
      },
      count: 100_000
    }
  ]
}

// The map of a delta: 1 TiB of 4 KiB chunks.

function mapBenches(): MicroBench[] {
  const chunkCount = 2 ** 28
  const dense = new DeltaMap(chunkCount)
  dense.assign(0, MAPPED, 1)
  const random = randomChunks(MAPPED)
  return [
    {
      title: 'map: a chunk gets a slot, in sequence',
      work: (count) => {
        const map = new DeltaMap(chunkCount)
        for (let done = 0; done < count; done++) map.assign(done, 1, done + 1)
      },
      count: 1_000_000
    },
    {
      title: 'map: a chunk gets a slot, at random in 4 GiB',
      work: (count) => {
        const map = new DeltaMap(chunkCount)
        for (let done = 0; done < count; done++) map.assign(random[done % MAPPED]!, 1, done + 1)
      },
      count: 1_000_000
    },
    {
      title: 'map: a chunk is looked up, at random in 4 GiB',
      work: (count) => {
        for (let done = 0; done < count; done++) dense.run(random[done % MAPPED]!, 1)
      },
      count: 4_000_000
    },
    {
      title: 'map: a run of 16 chunks',
      work: (count) => {
        for (let done = 0; done < count; done++) dense.run((done * 16) % MAPPED, 16)
      },
      count: 1_000_000
    },
    {
      title: 'map: 4 MiB become zeroes, which is one leaf',
      work: (count) => {
        const map = new DeltaMap(chunkCount)
        for (let done = 0; done < count; done++) map.assign(done * LEAF_CHUNKS, LEAF_CHUNKS, ZERO)
      },
      count: 100_000
    }
  ]
}

// What decides for each access whether it is made at once.

function adaptiveBenches(): MicroBench[] {
  const rule = new AdaptiveRegions(false, DISK_BYTES)
  const offsets = Array.from({ length: 1024 }, (_, index) => index * (DISK_BYTES / 1024))
  rule.allows(0, 0)
  for (const offset of offsets) {
    rule.poolStarted(offset)
    rule.poolEnded(0, offset, 0, CHUNK)
  }
  return [
    {
      title: 'adaptive rule: a read that was quick',
      work: (count) => {
        for (let done = 0; done < count; done++) {
          const offset = offsets[done & 1023]!
          if (rule.allows(1, offset)) rule.took(0.002, CHUNK, offset)
        }
      },
      count: 4_000_000
    },
    {
      title: 'adaptive rule: a look at its clock, two for each read',
      work: (count) => {
        for (let done = 0; done < count; done++) performance.now()
      },
      count: 4_000_000
    }
  ]
}

function randomChunks(count: number): Uint32Array {
  let state = 1
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % count
  })
}

// The overlay, with its files: most of it is system calls.

async function openOverlay(folder: string, name: string): Promise<Overlay> {
  const base = new MemoryVolume(DISK_BYTES, true)
  await base.open()
  const fingerprint = {
    uuid: '00112233-4455-6677-8899-aabbccddeeff',
    generation: 0,
    size: DISK_BYTES,
    mtimeNs: 0n,
    inode: 0n
  }
  const owner = { target: 'iqn.2010-04.local.cloudx:bench', initiator: 'iqn.2010-04.local:bench', lun: 0, chapUser: '' }
  const overlay = new Overlay({
    base,
    delta: { directory: folder, name, base: fingerprint, owner, incarnation: 1, adaptive: () => new Eager() }
  })
  await overlay.open()
  // The first write makes the files, which takes a while.
  await writeVolume(overlay, Buffer.alloc(CHUNK), DISK_BYTES - CHUNK)
  return overlay
}

/** Nothing goes through the pool, for here only what runs at once is of interest. */
class Eager extends Adaptive {
  constructor() {
    super(false)
  }

  override allows(): boolean {
    return true
  }
}

/** @param untouched - another one, in which no chunk has a slot */
function overlayBenches(overlay: Overlay, untouched: Overlay): MicroBench[] {
  const buffer = Buffer.alloc(65536, 0xa5)
  let fresh = 0
  let unmapped = 0
  const chunks = DISK_BYTES / CHUNK - 1
  const each = (length: number, place: (index: number) => number) => (count: number) => {
    for (let done = 0; done < count; done++) {
      overlay.tryWrite(buffer, 0, length, place(done) * CHUNK)
      if (done % TURN === TURN - 1) overlay.commit()
    }
    overlay.commit()
  }
  return [
    // An odd factor meets every chunk before any again.
    {
      title: 'overlay: first touch of 4 KiB, 32 a turn',
      work: each(CHUNK, () => (fresh++ * 7919) % chunks),
      count: 60_000
    },
    { title: 'overlay: overwrite of 4 KiB', work: each(CHUNK, (index) => (index * 7919) % chunks), count: 60_000 },
    {
      title: 'overlay: read of 4 KiB in the delta',
      work: (count) => {
        for (let done = 0; done < count; done++) overlay.tryRead(buffer, 0, CHUNK, ((done * 7919) % chunks) * CHUNK)
      },
      count: 60_000
    },
    {
      title: 'overlay: read of 4 KiB of a base in memory',
      work: (count) => {
        for (let done = 0; done < count; done++) untouched.tryRead(buffer, 0, CHUNK, ((done * 7919) % chunks) * CHUNK)
      },
      count: 400_000
    },
    {
      title: 'overlay: unmap of 64 KiB, 32 a turn',
      work: (count) => {
        for (let done = 0; done < count; done++) {
          untouched.tryZero((unmapped++ * 16 * CHUNK) % DISK_BYTES, 65536, true)
          if (done % TURN === TURN - 1) untouched.commit()
        }
        untouched.commit()
      },
      count: UNMAPS
    },
    {
      title: 'overlay: overwrite of 64 KiB written at random',
      work: each(65536, (index) => (index * 16) % (chunks - 16)),
      count: 5_000
    }
  ]
}

const ROUNDS = 5
/** Commands of one turn. */
const TURN = 32
/** The disk has room for as many in all rounds; one that is unmapped already would cost nothing. */
const UNMAPS = 5000
const MAPPED = 1 << 20
const LEAF_CHUNKS = 1024
const CHUNK = 4096
const DISK_BYTES = 2 ** 31
