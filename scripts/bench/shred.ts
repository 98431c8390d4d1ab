import { closeSync, mkdirSync, openSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { startCloudx, UNIT, type Server } from './servers.js'

/**
 * What encryption costs: two servers, one with `--shred`, are given the same commands in turn, so that what else runs on
 * the machine meets both. It is the processor time of the whole server for a command, sockets and journal among it.
 */
interface Side {
  readonly server: Server
  readonly session: LoadSession
}

export async function runShred(root: string, folder: string, rounds: number): Promise<void> {
  const plain = await startSide(root, folder, 'plain', PORT, [])
  const shred = await startSide(root, folder, 'shred', PORT + 1, ['--shred'])
  try {
    process.stdout.write(`${row('CPU of a command in µs', 'plain', '--shred', 'ratio')}`)
    for (const kind of KINDS) {
      const costs: [number, number][] = []
      // The first round is the compiler's, and writes what the reads read.
      for (let round = 0; round <= rounds; round++) {
        const first = await costUs(round % 2 === 0 ? plain : shred, kind)
        const second = await costUs(round % 2 === 0 ? shred : plain, kind)
        if (round > 0) costs.push(round % 2 === 0 ? [first, second] : [second, first])
      }
      const ratio = spread(costs.map(([without, encrypted]) => encrypted / without))
      const [without, encrypted] = [0, 1].map((side) => spread(costs.map((pair) => pair[side]!)))
      process.stdout.write(row(titleOf(kind), without!, encrypted!, ratio))
    }
  } finally {
    for (const { session, server } of [plain, shred]) {
      session.cut()
      await server.stop()
    }
  }
}

async function startSide(root: string, folder: string, name: string, port: number, more: string[]): Promise<Side> {
  const own = join(folder, name)
  mkdirSync(own, { recursive: true })
  const image = join(own, 'disk.img')
  closeSync(openSync(image, 'w'))
  truncateSync(image, DISK_BYTES)
  const server = await startCloudx(root, own, image, port, more)
  const session = new LoadSession({ ...UNIT, port }, DEPTH, INITIATOR, 1)
  await session.login()
  await session.ready()
  return { server, session }
}

/** Processor time of the server, of one command. */
async function costUs({ server, session }: Side, kind: LoadGroup): Promise<number> {
  const count = COMMAND_BYTES / kind.blockLength
  const before = server.cpuNs()
  await session.run(kind, count)
  return (server.cpuNs() - before) / 1000 / count
}

function titleOf({ operation, blockLength }: LoadGroup): string {
  return `${operation} of ${blockLength / 1024} KiB`
}

/** Median, and the smallest and the largest. */
function spread(values: readonly number[]): string {
  const sorted = [...values].sort((left, right) => left - right)
  const figure = (value: number) => value.toFixed(value < 10 ? 2 : 0)
  return `${figure(sorted[sorted.length >> 1]!)} (${figure(sorted[0]!)}–${figure(sorted.at(-1)!)})`
}

function row(...cells: string[]): string {
  return `${cells.map((cell) => cell.padEnd(24)).join(' ')}\n`
}

const PORT = 14296
const DISK_BYTES = 2 ** 30
const DEPTH = 32
const INITIATOR = 'iqn.2010-04.local:shred'
/** Bytes of one run; the page cache holds them all. */
const COMMAND_BYTES = 2 ** 26
const AREA = {
  sessions: 1,
  depth: DEPTH,
  order: 'shuffled',
  start: 0,
  end: COMMAND_BYTES,
  initiator: INITIATOR
} as const
const KINDS: readonly LoadGroup[] = [
  { name: 'writes', operation: 'write', blockLength: 4096, ...AREA },
  { name: 'reads', operation: 'read', blockLength: 4096, ...AREA },
  { name: 'long writes', operation: 'write', blockLength: 65536, ...AREA },
  { name: 'long reads', operation: 'read', blockLength: 65536, ...AREA }
]
