import { closeSync, mkdirSync, openSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { median } from './report.js'
import { startCloudx, UNIT, type Server } from './servers.js'

/**
 * What the order costs in which a delta was written: sequential reads of one that was written in blocks of 4 KiB at
 * random, beside one that was written from its start to its end. Both hold the same chunks.
 */
export interface FragmentRow {
  readonly title: string
  /** CPU of the target for each operation, microseconds, and operations a second: medians. */
  readonly sequential: Cost
  readonly random: Cost
  /** Random ÷ sequential: medians of the pairs. */
  readonly cpuRatio: number
  readonly rateRatio: number
}

interface Cost {
  readonly cpuUs: number
  readonly rate: number
}

/** How a delta comes to be; `share` of the chunks of the area is in it. */
interface Filling {
  readonly title: string
  readonly share: number
}

/** @param quick - a sixteenth of the area, one pair */
export async function runFragments(root: string, folder: string, quick: boolean): Promise<FragmentRow[]> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'fragments.img')
  closeSync(openSync(image, 'w'))
  truncateSync(image, AREA_BYTES)
  const area = quick ? AREA_BYTES / 16 : AREA_BYTES
  const server = await startCloudx(root, folder, image, PORT)
  const rows: FragmentRow[] = []
  try {
    for (const filling of FILLINGS) {
      const pair = [await sessionOf('sequential'), await sessionOf('random')] as const
      await fill(pair[0], 'sequential', area, filling.share)
      await fill(pair[1], 'shuffled', area, filling.share)
      for (const blockLength of LENGTHS) {
        const row = await compare(server, pair, blockLength, area, quick ? 1 : ROUNDS, filling)
        process.stdout.write(`${lineOf(row)}\n`)
        rows.push(row)
      }
      for (const session of pair) await session.logout()
    }
  } finally {
    await server.stop()
  }
  return rows
}

async function sessionOf(name: string): Promise<LoadSession> {
  const session = new LoadSession({ ...UNIT, port: PORT }, DEPTH_MAX, `${CLIENT}-${name}`, 1)
  await session.login()
  await session.ready()
  return session
}

/** In blocks of 4 KiB both. In sequence, a part of all is every second 64 KiB and the like; at random, as many chunks. */
async function fill(session: LoadSession, order: LoadGroup['order'], area: number, share: number): Promise<void> {
  const write: LoadGroup = { ...READS, operation: 'write', order, depth: DEPTH_MAX, blockLength: CHUNK }
  if (order === 'shuffled') return session.run({ ...write, end: area }, (area / CHUNK) * share)
  for (let start = 0; start < area; start += BLOCK / share) {
    await session.run({ ...write, start, end: start + BLOCK }, BLOCK / CHUNK)
  }
}

async function compare(
  server: Server,
  pair: readonly [LoadSession, LoadSession],
  blockLength: number,
  area: number,
  rounds: number,
  { title }: Filling
): Promise<FragmentRow> {
  const costs: [Cost[], Cost[]] = [[], []]
  // The first round brings everything into the page cache.
  for (let round = 0; round <= rounds; round++) {
    for (const index of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const cost = await costOf(server, pair[index], blockLength, area)
      if (round > 0) costs[index].push(cost)
    }
  }
  const [sequential, random] = costs
  const ratio = (of: (cost: Cost) => number) => median(random.map((cost, round) => of(cost) / of(sequential[round]!)))
  return {
    title: `${blockLength / 1024} KiB, ${title}`,
    sequential: medianCost(sequential),
    random: medianCost(random),
    cpuRatio: ratio(({ cpuUs }) => cpuUs),
    rateRatio: ratio(({ rate }) => rate)
  }
}

async function costOf(server: Server, session: LoadSession, blockLength: number, area: number): Promise<Cost> {
  const count = area / blockLength
  const cpu = server.cpuNs()
  const before = performance.now()
  await session.run({ ...READS, blockLength, depth: blockLength > BLOCK ? 8 : 16, end: area }, count)
  const seconds = (performance.now() - before) / 1000
  return { cpuUs: (server.cpuNs() - cpu) / 1000 / count, rate: count / seconds }
}

function medianCost(costs: readonly Cost[]): Cost {
  return { cpuUs: median(costs.map(({ cpuUs }) => cpuUs)), rate: median(costs.map(({ rate }) => rate)) }
}

function lineOf({ title, sequential, random, cpuRatio, rateRatio }: FragmentRow): string {
  return `${title.padEnd(40)} ${sequential.cpuUs.toFixed(1)} → ${random.cpuUs.toFixed(1)} µs, CPU × ${cpuRatio.toFixed(2)}, rate × ${rateRatio.toFixed(2)}`
}

const AREA_BYTES = 2 ** 28
const CHUNK = 4096
const BLOCK = 65536
const LENGTHS = [BLOCK, 4 * BLOCK, 16 * BLOCK]
const ROUNDS = 5
const DEPTH_MAX = 32
const PORT = 14292
const FILLINGS: readonly Filling[] = [
  { title: 'all of it written', share: 1 },
  { title: 'half of it written', share: 0.5 },
  { title: 'an eighth of it written', share: 0.125 }
]
const CLIENT = 'iqn.2010-04.local:fragments'
const READS: LoadGroup = {
  name: 'reads',
  sessions: 1,
  depth: DEPTH_MAX,
  operation: 'read',
  blockLength: BLOCK,
  order: 'sequential',
  start: 0,
  end: AREA_BYTES,
  initiator: CLIENT
}
