import { closeSync, mkdirSync, openSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { runFragments, type FragmentRow } from './fragments.js'
import { warm, makeImage } from './image.js'
import { enlarge, headerOf, makeTemplate, mapsBelow } from './large-deltas.js'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { median } from './report.js'
import { startCloudx, UNIT, type Server } from './servers.js'

/** CPU of the server for each operation as something grows, in microseconds: the median of the rounds. */
export interface GrowthSeries {
  readonly title: string
  /** What grows. */
  readonly axis: string
  readonly lines: readonly GrowthLine[]
}

export interface GrowthLine {
  readonly title: string
  readonly points: readonly { readonly label: string; readonly cpuUs: number }[]
}

export interface Growth {
  readonly series: readonly GrowthSeries[]
  readonly fragments: readonly FragmentRow[]
}

/** One point: what is measured there, again and again. */
interface Probe {
  readonly label: string
  readonly server: Server
  readonly sessions: readonly LoadSession[]
  readonly group: LoadGroup
  readonly operations: number
}

/** @param quick - one round, a tenth of the operations */
export async function runGrowth(root: string, folder: string, rounds: number, quick: boolean): Promise<Growth> {
  mkdirSync(folder, { recursive: true })
  const scale = quick ? 10 : 1
  const series = [
    await growImages(root, join(folder, 'images'), rounds, scale),
    await growDeltas(root, join(folder, 'deltas'), rounds, scale),
    await growSessions(root, join(folder, 'sessions'), rounds, scale)
  ]
  return { series, fragments: await runFragments(root, join(folder, 'fragments'), quick) }
}

async function growImages(root: string, folder: string, rounds: number, scale: number): Promise<GrowthSeries> {
  const probes: Probe[][] = [[], [], []]
  const servers: Server[] = []
  try {
    for (const [index, { label, bytes }] of IMAGES.entries()) {
      const own = join(folder, label.replace(' ', '-'))
      mkdirSync(own, { recursive: true })
      const image = sparse(join(own, 'disk.img'), bytes)
      const server = await startCloudx(root, own, image, PORT + index)
      servers.push(server)
      const session = await loggedIn(PORT + index, `image-${index}`)
      await touch(session, 'write')
      const scattered = await loggedIn(PORT + index, `scattered-${index}`)
      // READ(10) reaches 2 TiB.
      const end = Math.min(bytes, 2 ** 41)
      const probe = { label, server, sessions: [session], operations: OPERATIONS / scale }
      probes[0]!.push({ ...probe, group: group('read') })
      probes[1]!.push({ ...probe, group: group('write') })
      const group2: LoadGroup = { ...group('write'), end }
      probes[2]!.push({ ...probe, sessions: [scattered], group: group2, operations: OPERATIONS / scale / 4 })
    }
    const titles = ['4 KiB read', '4 KiB write, again', '4 KiB write, scattered over the image, first touch']
    const lines = []
    for (const [index, title] of titles.entries()) lines.push(await lineOf(title, probes[index]!, rounds))
    return told({ title: 'size of the image', axis: 'sparse', lines })
  } finally {
    for (const server of servers) await server.stop()
  }
}

/** The maps name every chunk; what is in the slots is holes but for the part that is touched. */
async function growDeltas(root: string, folder: string, rounds: number, scale: number): Promise<GrowthSeries> {
  mkdirSync(folder, { recursive: true })
  const image = sparse(join(folder, 'disk.img'), 2 ** 36)
  const before = await startCloudx(root, folder, image, PORT)
  for (const [index, { chunks }] of DELTAS.entries()) {
    if (chunks === 0) continue
    const session = await loggedIn(PORT, `delta-${index}`)
    await session.run({ ...group('write'), end: 2 ** 20 }, 1)
    session.cut()
  }
  await before.stop()
  for (const map of mapsBelow(folder)) {
    const header = headerOf(map)
    const { chunks } = DELTAS[Number(/\d+$/.exec(header.owner.initiator)![0])]!
    enlarge(map, header, makeTemplate(folder, chunks))
  }
  const server = await startCloudx(root, folder, image, PORT)
  try {
    const probes: Probe[][] = [[], []]
    for (const [index, { label, chunks }] of DELTAS.entries()) {
      const session = await loggedIn(PORT, `delta-${index}`)
      await touch(session, chunks === 0 ? 'read' : 'write')
      const probe = { label, server, sessions: [session], operations: OPERATIONS / scale }
      probes[0]!.push({ ...probe, group: group('read') })
      if (chunks > 0) probes[1]!.push({ ...probe, group: group('write') })
    }
    const lines = [
      await lineOf('4 KiB read', probes[0]!, rounds),
      await lineOf('4 KiB write, again', probes[1]!, rounds)
    ]
    return told({ title: 'size of the delta', axis: 'all of it mapped', lines })
  } finally {
    await server.stop()
  }
}

async function growSessions(root: string, folder: string, rounds: number, scale: number): Promise<GrowthSeries> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'disk.img')
  makeImage(image, WINDOW_BYTES)
  warm(image, 0, WINDOW_BYTES)
  const server = await startCloudx(root, folder, image, PORT)
  try {
    const sessions: LoadSession[] = []
    for (let index = 0; index < SESSIONS.at(-1)!; index++) sessions.push(await loggedIn(PORT, `session-${index}`))
    for (const session of sessions) await session.run({ ...group('write'), end: 2 ** 20, blockLength: 2 ** 16 }, 16)
    const lines = []
    for (const operation of ['read', 'write'] as const) {
      const probes = SESSIONS.map((count) => ({
        label: `${count}`,
        server,
        sessions: sessions.slice(0, count),
        group: { ...group(operation), depth: 4, end: operation === 'write' ? 2 ** 20 : WINDOW_BYTES },
        operations: Math.ceil(OPERATIONS / scale / count)
      }))
      lines.push(await lineOf(`4 KiB ${operation === 'read' ? 'read' : 'write, again'}, depth 4`, probes, rounds))
    }
    return told({ title: 'sessions', axis: 'that work at the same time', lines })
  } finally {
    await server.stop()
  }
}

/** The rounds go over all points, so that a busy moment does not hit one of them alone. The first one is not counted. */
async function lineOf(title: string, probes: readonly Probe[], rounds: number): Promise<GrowthLine> {
  const all: number[][] = probes.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [index, probe] of probes.entries()) {
      const cpuUs = await costOf(probe)
      if (round > 0) all[index]!.push(cpuUs)
    }
  }
  return { title, points: probes.map(({ label }, index) => ({ label, cpuUs: median(all[index]!) })) }
}

async function costOf({ server, sessions, group, operations }: Probe): Promise<number> {
  const before = server.cpuNs()
  await Promise.all(sessions.map((session) => session.run(group, operations)))
  return (server.cpuNs() - before) / 1000 / (operations * sessions.length)
}

function told(series: GrowthSeries): GrowthSeries {
  for (const { title, points } of series.lines) {
    const costs = points.map(({ label, cpuUs }) => `${label}: ${cpuUs.toFixed(1)}`)
    process.stdout.write(`${series.title}, ${title}, CPU µs: ${costs.join(', ')}\n`)
  }
  return series
}

function sparse(path: string, bytes: number): string {
  closeSync(openSync(path, 'w'))
  truncateSync(path, bytes)
  return path
}

async function loggedIn(port: number, name: string): Promise<LoadSession> {
  const session = new LoadSession({ ...UNIT, port }, DEPTH, `${CLIENT}:${name}`, 1)
  await session.login()
  await session.ready()
  return session
}

/** Once over all that will be measured, so that it is in the page cache, and in the delta if it is written. */
function touch(session: LoadSession, operation: LoadGroup['operation']): Promise<void> {
  const blockLength = 2 ** 16
  return session.run({ ...group(operation), blockLength, order: 'sequential' }, WINDOW_BYTES / blockLength)
}

function group(operation: LoadGroup['operation']): LoadGroup {
  return { ...GROUP, operation }
}

const GIB = 2 ** 30
const IMAGES = [
  { label: '1 GiB', bytes: GIB },
  { label: '32 GiB', bytes: 32 * GIB },
  { label: '256 GiB', bytes: 256 * GIB },
  { label: '2 TiB', bytes: 2048 * GIB },
  { label: '8 TiB', bytes: 8192 * GIB }
]
const DELTAS = [0, 1, 8, 32, 64].map((gib) => ({ label: gib === 0 ? '0' : `${gib} GiB`, chunks: (gib * GIB) / 4096 }))
const SESSIONS = [1, 4, 16, 64, 200]
/** What is touched of a disk. */
const WINDOW_BYTES = 2 ** 28
const OPERATIONS = 20_000
const DEPTH = 32
const PORT = 14300
const CLIENT = 'iqn.2010-04.local:growth'
const GROUP: LoadGroup = {
  name: 'growth',
  sessions: 1,
  depth: DEPTH,
  operation: 'read',
  blockLength: 4096,
  order: 'random',
  start: 0,
  end: WINDOW_BYTES,
  initiator: CLIENT
}
