import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises'
import { DeltaFile } from '../../lib/volume/delta/delta-file.js'
import {
  CHUNK,
  CLIENT,
  DISK_BYTES,
  HEADER,
  enlarge,
  headerOf,
  makeTemplate,
  mapsBelow,
  slotsOf
} from './large-deltas.js'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { startCloudx, UNIT } from './servers.js'

/**
 * How long a restore takes, and a start, by the size of the deltas.
 *
 * Deltas of 50 GiB are made in no time: the server makes small ones itself; while it is down their maps get records for
 * every chunk, and their slot files the length, as holes. To the server that is a delta like any other. In `fragments`
 * each chunk was written by itself and in no order, which is the most that a delta of that size can hold. Their map is
 * the one that they have when the process dies in the middle: with a snapshot and a tail of records behind it.
 */
interface Kind {
  readonly title: string
  readonly chunks: number
  readonly fragments: boolean
}

/** Milliseconds, one of each round. */
interface Times {
  readonly title: string
  readonly attach: number[]
  readonly logout: number[]
  readonly loginBehind: number[]
}

/** @param quick - one round, without the large ones */
export async function runRestore(root: string, folder: string, rounds: number, quick: boolean): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'restore.img')
  closeSync(openSync(image, 'w'))
  truncateSync(image, DISK_BYTES)
  const kinds = KINDS.filter(({ chunks }) => !quick || chunks <= GIB)
  const templates: string[] = []
  for (const kind of kinds)
    templates.push(await (kind.fragments ? writeFragments(folder, kind) : makeTemplate(folder, kind.chunks)))
  for (const [index, kind] of kinds.entries()) await reopen(folder, kind, templates[index]!)
  await leaveDeltas(root, folder, image, kinds, rounds)
  let chunks = 0
  for (const map of mapsBelow(folder)) {
    const header = headerOf(map)
    const index = Number(/kind-(\d+)/.exec(header.owner.initiator)?.[1] ?? NONE)
    if (index === NONE) continue
    enlarge(map, header, templates[index]!)
    chunks += kinds[index]!.chunks
  }
  const before = performance.now()
  const server = await startCloudx(root, folder, image, PORT)
  const tookMs = performance.now() - before
  process.stdout.write(
    `\nlistening ${tookMs.toFixed(0)} ms after the start with ${(chunks / GIB).toFixed(0)} GiB of deltas, and of ${OTHERS} clients more\n\n`
  )
  try {
    const nothing = timesOf('nothing written')
    const all = kinds.map(({ title }) => timesOf(title))
    for (let round = 0; round < rounds; round++) {
      await measure(`${CLIENT}:nothing-${round}`, nothing, 0)
      for (const index of kinds.keys()) await measure(nameOf(index, round), all[index]!, WRITTEN)
    }
    process.stdout.write(tableOf([nothing, ...all]))
  } finally {
    await server.stop()
  }
}

async function leaveDeltas(
  root: string,
  folder: string,
  image: string,
  kinds: readonly Kind[],
  rounds: number
): Promise<void> {
  const server = await startCloudx(root, folder, image, PORT)
  try {
    for (let round = 0; round < rounds; round++) {
      for (const index of kinds.keys()) await leaveDelta(nameOf(index, round))
    }
    for (let client = 0; client < OTHERS; client++) await leaveDelta(`${CLIENT}:other-${client}`)
  } finally {
    await server.stop()
  }
}

/** Writes a block and goes away without a logout. */
async function leaveDelta(initiatorName: string): Promise<void> {
  const session = await login(initiatorName)
  await session.run(WRITES, 1)
  session.cut()
}

function nameOf(kind: number, round: number): string {
  return `${CLIENT}:kind-${kind}-${round}`
}

async function login(initiatorName: string): Promise<LoadSession> {
  const session = new LoadSession({ ...UNIT, port: PORT }, WRITES.depth, initiatorName, 1)
  await session.login()
  await session.ready()
  return session
}

/** A login, writes, a logout, and the login behind it, whose connection stands already. */
async function measure(initiatorName: string, times: Times, writes: number): Promise<void> {
  const start = performance.now()
  const session = await login(initiatorName)
  times.attach.push(performance.now() - start)
  if (writes > 0) {
    // To the server a delta of holes is one that fills the disk, until it asks the file system again.
    await setTimeout(SPACE_ASKED_MS)
    await session.ready()
    await session.run(WRITES, writes)
  }
  const next = new LoadSession({ ...UNIT, port: PORT }, WRITES.depth, initiatorName, 1)
  await next.connected()
  const before = performance.now()
  await session.logout()
  const out = performance.now()
  await next.login()
  times.logout.push(out - before)
  times.loginBehind.push(performance.now() - out)
  await next.logout()
}

/** The map of a delta whose chunks were written one by one, made by the code that makes it while a server runs. */
async function writeFragments(folder: string, { chunks }: Kind): Promise<string> {
  const directory = join(folder, `fragments-${chunks}`)
  mkdirSync(directory)
  const { base, owner, incarnation } = HEADER
  const delta = await DeltaFile.open({ directory, name: 'template', base, owner, incarnation })
  await delta.create()
  const before = process.cpuUsage()
  for (let done = 0; done < chunks;) {
    for (const end = Math.min(chunks, done + TURN); done < end; done++) {
      delta.charge(1, 1)
      // An odd factor meets each chunk of a power of two once.
      const chunk = (done * SCATTER) % DISK_CHUNKS
      delta.putSlots(chunk, 1, delta.takeSlots(chunk, 1))
    }
    delta.commit()
    if (done % TURNS_APART === 0) await nextTurn()
    // A server would be busy with the data meanwhile, for seconds.
    if (done % GIB === 0) await delta.idle()
  }
  const { user, system } = process.cpuUsage(before)
  const { compactions } = delta
  const map = join(directory, 'template-1.map')
  truncateSync(slotsOf(map), delta.slots.highWater * CHUNK)
  await delta.release()
  process.stdout.write(
    `${chunks / GIB} GiB of fragments mapped in ${((user + system) / chunks).toFixed(2)} µs of CPU each, ${compactions} compactions\n`
  )
  return map
}

/** Reads a delta back in this process and says how long the event loop stood still at most, in CPU time of this thread. */
async function reopen(folder: string, { title }: Kind, template: string): Promise<void> {
  const map = join(folder, 'reopen-1.map')
  const slots = join(folder, 'reopen-1.slots')
  copyFileSync(template, map)
  closeSync(openSync(slots, 'w'))
  truncateSync(slots, statSync(slotsOf(template)).size)
  const loop = new LoopWatch()
  const before = performance.now()
  const cpuBefore = process.cpuUsage()
  const { base, owner, incarnation } = HEADER
  const delta = await DeltaFile.open({ directory: folder, name: 'reopen', base, owner, incarnation })
  const tookMs = performance.now() - before
  const { user, system } = process.cpuUsage(cpuBefore)
  const cpuUs = user + system
  const longestMs = loop.stop()
  await delta.close()
  rmSync(map)
  rmSync(slots)
  process.stdout.write(
    `${title.padEnd(20)} read back in ${tookMs.toFixed(1)} ms, CPU ${(cpuUs / 1000).toFixed(0)} ms, longest turn ${longestMs.toFixed(1)} ms\n`
  )
}

/** The longest turn of the event loop: processor time of its thread, because other programs keep it waiting. */
class LoopWatch {
  private longestNs = 0
  private last = ranNs()
  private running = true

  constructor() {
    this.look()
  }

  stop(): number {
    this.running = false
    return this.longestNs / 1e6
  }

  private look(): void {
    const now = ranNs()
    this.longestNs = Math.max(this.longestNs, now - this.last)
    this.last = now
    if (this.running) setImmediate(() => this.look())
  }
}

/** The first thread of a process has its number. */
function ranNs(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0])
}

function timesOf(title: string): Times {
  return { title, attach: [], logout: [], loginBehind: [] }
}

function tableOf(all: readonly Times[]): string {
  const cells = all.map(({ title, attach, logout, loginBehind }) => {
    const both = logout.map((ms, round) => ms + loginBehind[round]!)
    return [title, ...[attach, logout, loginBehind, both].map(spread)]
  })
  const rows = [['delta', 'first login', 'logout', 'login behind it', 'both'], ...cells]
  return rows.map((row) => `${row.map((cell) => cell.padEnd(20)).join(' ')}\n`).join('')
}

/** Median, and the smallest and the largest. */
function spread(values: readonly number[]): string {
  const sorted = [...values].sort((left, right) => left - right)
  const [median, first, last] = [sorted[sorted.length >> 1]!, sorted[0]!, sorted.at(-1)!]
  return `${median.toFixed(1)} (${first.toFixed(1)}–${last.toFixed(1)})`
}

const GIB = 2 ** 30 / CHUNK
const DISK_CHUNKS = DISK_BYTES / CHUNK
const KINDS: readonly Kind[] = [
  { title: '1 MiB', chunks: 256, fragments: false },
  { title: '1 GiB', chunks: GIB, fragments: false },
  { title: '1 GiB, fragments', chunks: GIB, fragments: true },
  { title: '50 GiB', chunks: 50 * GIB, fragments: false },
  { title: '50 GiB, fragments', chunks: 50 * GIB, fragments: true }
]
const SCATTER = 7919
/** Writes of one turn of the server, and between two turns of everything else. */
const TURN = 32
const TURNS_APART = 8 * TURN
const PORT = 14290
/** The server asks it every five seconds. */
const SPACE_ASKED_MS = 5500
const NONE = -1
/** Clients that have written a block each. */
const OTHERS = 300
const WRITES: LoadGroup = {
  name: 'writes',
  sessions: 1,
  depth: 16,
  operation: 'write',
  blockLength: CHUNK,
  order: 'random',
  start: 0,
  end: 2 ** 20,
  initiator: CLIENT
}
/** Blocks that are written, and not flushed, before the logout. */
const WRITTEN = 4000
