import { Histogram } from './histogram.js'
import type { GroupResult, LoadGroup, LoadJob, LoadMessage } from './job.js'
import { LoadSession } from './session.js'

/**
 * The load generator's process: takes one {@link LoadJob} as a message, answers `begun` when the clock starts and
 * `ended` when it stops, in between which the parent reads what the target has cost.
 */
process.once('message', (job) => {
  run(job as LoadJob).then(
    () => process.disconnect(),
    (error: Error) => {
      tell({ kind: 'failed', message: error.message })
      process.disconnect()
    }
  )
})

interface Member {
  readonly group: LoadGroup
  readonly session: LoadSession
}

async function run(job: LoadJob): Promise<void> {
  const members = job.groups.flatMap((group) => membersOf(job, group))
  for (const { session } of members) await session.login()
  for (const { session } of members) await session.ready()
  await Promise.all(members.filter(({ group }) => group.fillFirst).map(fill))
  const quiet = Promise.all(members.map(({ group, session }) => session.run(group, limitOf(group))))
  // One that fails, or has met all of its blocks, during the times below must not go unheard.
  await Promise.race([pause(job.warmUpMs), quiet])
  for (const { session } of members) {
    session.times.clear()
    session.longestMs = 0
  }
  tell({ kind: 'begun' })
  const begun = performance.now()
  const cpu = process.cpuUsage()
  await Promise.race([pause(job.durationMs), quiet])
  const seconds = (performance.now() - begun) / 1000
  const used = process.cpuUsage(cpu)
  const groups = job.groups.map((group) => resultOf(group, members, seconds))
  tell({ kind: 'ended', groups, cpuSeconds: (used.user + used.system) / 1e6 })
  for (const { session } of members) session.stop()
  await quiet
  await Promise.all(members.map(({ session }) => session.logout()))
  process.exit(0)
}

function membersOf(job: LoadJob, group: LoadGroup): Member[] {
  return Array.from({ length: group.sessions }, (_, index) => ({
    group,
    session: new LoadSession(job, Math.max(group.depth, FILL_DEPTH), `${group.initiator}-${index}`, index + 1)
  }))
}

function limitOf(group: LoadGroup): number {
  return group.once ? Math.floor((group.end - group.start) / group.blockLength) : Infinity
}

async function fill({ group, session }: Member): Promise<void> {
  const length = Math.min(FILL_LENGTH, group.end - group.start)
  const filling: LoadGroup = {
    ...group,
    operation: 'write',
    order: 'sequential',
    blockLength: length,
    depth: FILL_DEPTH
  }
  await session.run(filling, Math.ceil((group.end - group.start) / length))
}

function resultOf(group: LoadGroup, members: readonly Member[], seconds: number): GroupResult {
  const sessions = members.filter((member) => member.group === group).map(({ session }) => session)
  const all = new Histogram()
  for (const session of sessions) all.addAll(session.times)
  const counts = sessions.map(({ times }) => times.count)
  return {
    name: group.name,
    operations: all.count,
    seconds,
    averageMs: all.averageMs,
    p50Ms: all.percentile(0.5),
    p99Ms: all.percentile(0.99),
    p999Ms: all.percentile(0.999),
    longestMs: Math.max(...sessions.map(({ longestMs }) => longestMs)),
    fairness: Math.min(...counts) / Math.max(...counts, 1)
  }
}

function tell(message: LoadMessage): void {
  process.send!(message)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms))
}

const FILL_LENGTH = 1 << 20
const FILL_DEPTH = 8
