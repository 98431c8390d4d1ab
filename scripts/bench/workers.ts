import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { schedulerTimes } from './cpu.js'
import { makeImage } from './image.js'
import type { Timing } from './measure.js'
import { compare, type Rival } from './rivals.js'
import { IMAGE_BYTES } from './rows.js'
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
  const rivals: Rival[] = []
  try {
    for (const [index, count] of COUNTS.entries()) {
      const own = join(folder, `workers-${count}`)
      mkdirSync(own, { recursive: true })
      const server = await startCloudx(root, own, image, PORT + index, ['--workers', `${count}`])
      rivals.push({ title: `${count} worker${count === 1 ? '' : 's'}`, server: withChildren(server) })
    }
    await compare(ROW, rivals, timing)
  } finally {
    for (const { server } of rivals) await server.stop()
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
