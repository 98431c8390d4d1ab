import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { dropCache } from './measure.js'
import { median } from './report.js'
import { HOST, TARGET_NAME, startCloudx, type Server } from './servers.js'

/**
 * How long a PC waits in the morning: from the login of the first client behind a start of the server to the end of its
 * first listing of all directories, with an image that is not in the page cache. The client is a real one: QEMU logs in
 * and shows the disk as a file, and ntfsls reads the NTFS in it, with sizes and dates.
 */
export async function runColdStart(root: string, folder: string, rounds: number): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'cold-start.img')
  makeNtfs(image, join(folder, 'mount'))
  const bench = { root, folder, image }
  // The first client of all tells the server what clients read.
  await measure(bench, 'without')
  await measure(bench, 'at once')
  const times: Record<Way, Times[]> = { without: [], 'at once': [], behind: [] }
  for (let round = 0; round < rounds; round++) {
    for (const way of WAYS) times[way].push(await measure(bench, way))
  }
  const total = (way: Way) => times[way].map(({ loginMs, listingMs }) => loginMs + listingMs)
  for (const way of WAYS) {
    const ratio = median(total(way).map((ms, round) => ms / total('without')[round]!))
    const words = `${TITLES[way]}: login ${spread(times[way].map(({ loginMs }) => loginMs))} ms, listing ${spread(times[way].map(({ listingMs }) => listingMs))} ms`
    process.stdout.write(`${words}, both ÷ without ${ratio.toFixed(2)}\n`)
  }
}

interface Bench {
  readonly root: string
  readonly folder: string
  readonly image: string
}

type Way = 'without' | 'at once' | 'behind'
const WAYS: readonly Way[] = ['without', 'at once', 'behind']
const TITLES: Readonly<Record<Way, string>> = {
  without: 'cold, no warm-up',
  'at once': 'warm-up, client at once',
  behind: 'warm-up, client behind it'
}

interface Times {
  readonly loginMs: number
  readonly listingMs: number
}

async function measure({ root, folder, image }: Bench, way: Way): Promise<Times> {
  dropCache(image)
  const log = join(folder, 'cloudx.log')
  writeFileSync(log, '')
  const server = await startCloudx(root, folder, image, PORT, way === 'without' ? ['--warm-up', '0'] : [])
  try {
    if (way === 'behind') await logged(log, /Warm-up: .* are in memory/)
    return await list(server, join(folder, 'disk'))
  } finally {
    await server.stop()
  }
}

/** What one client does. */
async function list({ port }: Server, disk: string): Promise<Times> {
  closeSync(openSync(disk, 'w'))
  const before = performance.now()
  const url = `iscsi://${HOST}:${port}/${TARGET_NAME}/0`
  const initiator = `initiator-name=iqn.2010-04.local:cold-start`
  const daemon = spawn('qemu-storage-daemon', [
    ...[
      '--blockdev',
      `driver=iscsi,node-name=disk,read-only=on,transport=tcp,portal=${HOST}:${port},target=${TARGET_NAME},lun=0,${initiator}`
    ],
    ...['--export', `type=fuse,id=disk,node-name=disk,mountpoint=${disk},writable=off`]
  ])
  try {
    while (statSync(disk).size === 0) await waited(daemon, url)
    const ready = performance.now()
    execFileSync('ntfsls', ['-l', '-R', '-f', disk], { maxBuffer: 1 << 28 })
    return { loginMs: ready - before, listingMs: performance.now() - ready }
  } finally {
    const exit = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await exit
  }
}

async function waited(daemon: ChildProcess, url: string): Promise<void> {
  if (daemon.exitCode !== null) throw new Error(`qemu-storage-daemon does not show ${url}`)
  await setTimeout(1)
}

async function logged(path: string, pattern: RegExp): Promise<void> {
  while (!pattern.test(readFileSync(path, 'utf8'))) await setTimeout(10)
}

/** As an office fills it: many directories, written one after the other. */
function makeNtfs(image: string, mount: string): void {
  if (existsSync(image) && statSync(image).size === IMAGE_BYTES) return
  writeFileSync(image, '')
  truncateSync(image, IMAGE_BYTES)
  execFileSync('mkntfs', ['-q', '-F', '-f', image], { stdio: 'pipe' })
  mkdirSync(mount, { recursive: true })
  execFileSync('ntfs-3g', [image, mount], { stdio: 'pipe' })
  try {
    for (const source of SOURCES) cpSync(source, join(mount, source), { recursive: true, dereference: false })
  } finally {
    execFileSync('umount', [mount])
  }
  rmSync(mount, { recursive: true })
  execFileSync('sync', [image])
}

/** Median, and the smallest and the largest. */
function spread(values: readonly number[]): string {
  return `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)})`
}

const IMAGE_BYTES = 4 * 2 ** 30
const SOURCES = ['/usr/share', '/usr/include']
const PORT = 14292
