import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { warm } from './image.js'
import { runLoad } from './load/run.js'
import { runProgram } from './programs.js'
import { IMAGE_BYTES, type Row } from './rows.js'
import { UNIT, type Server, type ServerName } from './servers.js'
import { ownMemory } from './virtual-machine.js'

/** What one run of one row against one server has shown. */
export interface Sample {
  /** Operations a second. */
  readonly rate: number
  /** CPU of the target for each operation, in microseconds. */
  readonly cpuUs: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly fairness?: number
  readonly hotP99Ms?: number
  /** Share of one processor that the load generator had; near 1 it would be the limit. */
  readonly generatorLoad?: number
  /** Threads of the target that were ready to run and had no processor, on average: how busy the machine was. */
  readonly waiting: number
}

export interface RowResult {
  readonly id: string
  readonly samples: Readonly<Record<ServerName, readonly Sample[]>>
}

export interface Timing {
  readonly rounds: number
  readonly warmUpMs: number
  readonly durationMs: number
  /** Takes nothing back from the host; see virtual-machine.ts. */
  readonly asIs?: boolean
}

/** One row: as many pairs as rounds, ours and theirs by turns. */
export async function measureRow(row: Row, servers: readonly Server[], timing: Timing): Promise<RowResult> {
  const samples = await measureInTurns(row, servers, timing)
  const of = (name: ServerName) => samples[servers.findIndex((server) => server.name === name)] ?? []
  return { id: row.id, samples: { cloudx: of('cloudx'), tgtd: of('tgtd') } }
}

/** The samples of each server; in every round one after another, whoever was last being first in the next. */
export async function measureInTurns(row: Row, servers: readonly Server[], timing: Timing): Promise<Sample[][]> {
  const samples: Sample[][] = servers.map(() => [])
  for (let round = 0; round < timing.rounds; round++) {
    const order = [...servers.keys()]
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      samples[index]!.push(await measureOnce(row, servers[index]!, timing))
    }
  }
  return samples
}

export async function measureOnce(row: Row, server: Server, timing: Timing): Promise<Sample> {
  const release = !timing.asIs && isFirstTouch(row) ? ownMemory(FRESH_BYTES) : undefined
  prepareCache(row, server)
  release?.()
  if (row.dirtyBytes === undefined) return sample(row, server, timing)
  const before = readFileSync(DIRTY_BYTES, 'utf8').trim()
  const ratioBefore = readFileSync(DIRTY_RATIO, 'utf8').trim()
  writeFileSync(DIRTY_BYTES, `${row.dirtyBytes}`)
  try {
    return await sample(row, server, timing)
  } finally {
    // Each of the two clears the other.
    if (before === '0') writeFileSync(DIRTY_RATIO, ratioBefore)
    else writeFileSync(DIRTY_BYTES, before)
  }
}

/** Its files grow by as much as it writes. */
function isFirstTouch({ tool }: Row): boolean {
  return tool.kind === 'load' && tool.groups.some(({ once }) => once)
}

/** A row that needs what only root may do is left out for others. */
export function canMeasure(row: Row): boolean {
  return row.dirtyBytes === undefined || process.getuid?.() === 0
}

async function sample(row: Row, server: Server, timing: Timing): Promise<Sample> {
  const { tool } = row
  if (tool.kind !== 'load') {
    const cpu = server.cpuNs()
    const waited = server.waitedNs()
    const { operations, seconds } = await runProgram(tool, server, timing.durationMs / 1000)
    return {
      rate: operations / seconds,
      cpuUs: (server.cpuNs() - cpu) / 1000 / operations,
      waiting: (server.waitedNs() - waited) / 1e9 / seconds
    }
  }
  const { warmUpMs, durationMs } = timing
  const digests = row.digests ?? false
  const job = { ...UNIT, port: server.port, lun: server.lun, digests, groups: tool.groups }
  const run = await runLoad({ ...job, durationMs, warmUpMs: row.cold ? 0 : warmUpMs }, server)
  const operations = run.groups.reduce((sum, group) => sum + group.operations, 0)
  const first = run.groups[0]!
  return {
    rate: operations / first.seconds,
    cpuUs: run.targetCpuNs / 1000 / operations,
    p50Ms: first.p50Ms,
    p99Ms: first.p99Ms,
    fairness: first.fairness,
    ...(row.goals.hotP99 === undefined ? {} : { hotP99Ms: first.p99Ms }),
    generatorLoad: run.generatorLoad,
    waiting: run.targetWaitedNs / 1e9 / first.seconds
  }
}

/**
 * Cold rows begin with what they need in the page cache and nothing else. For all others the whole image is read
 * before each run: some systems take away pages that nobody has used for a while.
 */
function prepareCache(row: Row, server: Server): void {
  if (row.cold === undefined) return warm(server.image, 0, IMAGE_BYTES)
  dropCache(server.image)
  warm(server.image, 0, row.cold.hotBytes)
}

/** Takes a file out of the page cache. */
export function dropCache(image: string): void {
  const drop = ['if=/dev/null', `of=${image}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']
  const { status, stderr } = spawnSync('dd', drop, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`dd: ${stderr}`)
}

/** Several times what a run of the fastest row writes: the host is quick to take what is free. */
const FRESH_BYTES = 6 * 2 ** 30
const DIRTY_BYTES = '/proc/sys/vm/dirty_bytes'
const DIRTY_RATIO = '/proc/sys/vm/dirty_ratio'
