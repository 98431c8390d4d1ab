import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { schedulerTimes } from './cpu.js'
import { makeImage } from './image.js'
import { measureOnce, type Sample, type Timing } from './measure.js'
import { median } from './report.js'
import { IMAGE_BYTES, ROWS } from './rows.js'
import { startCloudx, type Server } from './servers.js'

/**
 * What a second worker process brings: many sessions on a server of one process, and on one that spreads them over two, by
 * turns. The load generator needs a processor of its own, so a machine with two shows what the spreading costs, and one
 * with more what it gains.
 */
export async function runWorkers(root: string, folder: string, timing: Timing): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'workers.img')
  makeImage(image, IMAGE_BYTES)
  const row = ROWS.find(({ id }) => id === ROW)!
  const servers: Server[] = []
  const samples: Sample[][] = COUNTS.map(() => [])
  try {
    for (const [index, count] of COUNTS.entries()) {
      const own = join(folder, `workers-${count}`)
      mkdirSync(own, { recursive: true })
      servers.push(withChildren(await startCloudx(root, own, image, PORT + index, ['--workers', `${count}`])))
    }
    for (const server of servers) await measureOnce(row, server, timing)
    for (let round = 0; round < timing.rounds; round++) {
      const order = [...servers.keys()]
      for (const index of round % 2 === 0 ? order : order.reverse()) {
        samples[index]!.push(await measureOnce(row, servers[index]!, timing))
      }
    }
  } finally {
    for (const server of servers) await server.stop()
  }
  process.stdout.write(`${row.title}\n`)
  for (const [index, count] of COUNTS.entries()) {
    const of = (key: 'rate' | 'cpuUs') => median(samples[index]!.map((sample) => sample[key]))
    const ratio = (key: 'rate' | 'cpuUs') =>
      median(samples[index]!.map((sample, round) => sample[key] / samples[0]![round]![key])).toFixed(2)
    process.stdout.write(
      `${count} worker: ${of('rate').toFixed(0)} a second (÷ ${ratio('rate')}), ${of('cpuUs').toFixed(1)} µs of CPU each (÷ ${ratio('cpuUs')})\n`
    )
  }
}

/** The processor time of workers is that of the server. */
function withChildren(server: Server): Server {
  const pid = server.process.pid!
  const all = () => {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return [pid, ...(children === '' ? [] : children.split(' ').map(Number))].map(schedulerTimes)
  }
  const sum = (key: 'ranNs' | 'waitedNs') => all().reduce((total, times) => total + times[key], 0)
  return { ...server, cpuNs: () => sum('ranNs'), waitedNs: () => sum('waitedNs') }
}

const COUNTS = [1, 2]
const ROW = 'read-4k-16'
const PORT = 14294
