import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runColdStart } from './cold-start.js'
import { documentOf, type Measurement } from './document.js'
import { makeImage } from './image.js'
import { describeMachine } from './machine.js'
import { canMeasure, measureOnce, measureRow, type RowResult, type Timing } from './measure.js'
import { runMicro } from './micro.js'
import { plot } from './plot.js'
import { judge, tableOf } from './report.js'
import { compareRestores } from './compare-restore.js'
import { plotComparison, plotGrowth } from './growth-report.js'
import { runFloor } from './floor.js'
import { runGrowth } from './growth.js'
import { runRestore } from './restore.js'
import { runShred } from './shred.js'
import { runStorm } from './storm.js'
import { IMAGE_BYTES, ROWS, type Row } from './rows.js'
import { keepAwake } from './virtual-machine.js'
import { runWorkers } from './workers.js'
import { startCloudx, startTgtd, type Server } from './servers.js'

const HELP = `npm run bench -- [options]: our target beside tgtd, on one machine, in pairs

  --quick            1 round of 0.5 s for each row: does everything run?
  --rows ID,ID       only these rows; --list names them
  --rounds N         pairs of runs for each row [5]
  --seconds N        length of a run [1.5]
  --folder DIR       where images (2 GiB each) and deltas lie [a new one in ${tmpdir()}]
  --json FILE        what was measured; rows that are in it already and are not measured now stay [docs/performance.json]
  --document         writes docs/performance.md and docs/performance.svg from the JSON, also without --rows
  --no-run           measures nothing: for --document alone
  --micro            CPU of reader, writer, map, overlay and digests instead, without any server
  --restore          logins, logouts and a start with deltas of up to 50 GiB instead; --rounds, --folder and --quick hold
  --cold-start       the first login and listing behind a start, with an image that is not in memory, instead; as root, with
                     qemu-storage-daemon, ntfs-3g and ntfsls; --rounds and --folder hold
  --shred            what encryption costs, on two servers in turn, instead; --rounds and --folder hold
  --compare          with --restore: beside cp --reflink on XFS and btrfs (as root), and qemu-img create -b, with tgt
  --growth           CPU of 4 KiB against size of image and delta, sessions, and the order a delta was written in; 5 minutes
  --workers          one worker process beside two, by turns, instead; --rounds, --seconds and --folder hold
  --floor            4 KiB reads on a server that does nothing else, beside ours and tgtd, instead; options as --workers
  --storm            100 clients that read the same GiB and write 64 MiB each, 200 idle ones, and the maps of deltas, instead
  --as-is            a virtual machine as its host leaves it. Else, as root, idle processors poll for 0.2 ms before they stop,
                     the kernel's preset; and there is free memory before each row whose files grow
  --list, --help

tgtd, tgtadm, iscsi-perf and qemu-img must be there (packages tgt, libiscsi-bin, qemu-utils). The last line says how
many goals are reached; the exit code is 0 when everything ran, reached or not.
`

/** @returns the exit code */
export async function main(root: string, args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      list: { type: 'boolean' },
      quick: { type: 'boolean' },
      micro: { type: 'boolean' },
      restore: { type: 'boolean' },
      compare: { type: 'boolean' },
      growth: { type: 'boolean' },
      shred: { type: 'boolean' },
      storm: { type: 'boolean' },
      workers: { type: 'boolean' },
      floor: { type: 'boolean' },
      'cold-start': { type: 'boolean' },
      document: { type: 'boolean' },
      'no-run': { type: 'boolean' },
      'as-is': { type: 'boolean' },
      rows: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      folder: { type: 'string' },
      json: { type: 'string' }
    }
  })
  if (values.help) return say(HELP)
  if (values.list) return say(ROWS.map(({ id, title }) => `${id.padEnd(18)} ${title}\n`).join(''))
  const json = values.json ?? join(root, 'docs/performance.json')
  if (!values['as-is'] && !values['no-run']) keepAwake()
  if (values.micro) {
    const micro = await runMicro(values.quick ?? false)
    if (!values.quick || values.json) save(json, { ...load(json), micro })
    return 0
  }
  if (values.growth) {
    await inFolder(values.folder, async (folder) => {
      const growth = await runGrowth(
        root,
        folder,
        Number(values.rounds ?? (values.quick ? 1 : 3)),
        values.quick ?? false
      )
      if (!values.quick || values.json) save(json, { ...load(json), growth })
    })
    return values.document ? documented(root, json) : 0
  }
  if (values.restore && values.compare) {
    await inFolder(values.folder, async (folder) => {
      const restores = await compareRestores(
        root,
        folder,
        Number(values.rounds ?? (values.quick ? 1 : 3)),
        values.quick ?? false
      )
      if (!values.quick || values.json) save(json, { ...load(json), restores })
    })
    return values.document ? documented(root, json) : 0
  }
  if (values.restore) {
    await inFolder(values.folder, (folder) =>
      runRestore(root, folder, Number(values.rounds ?? (values.quick ? 1 : 5)), values.quick ?? false)
    )
    return 0
  }
  if (values['cold-start']) {
    await inFolder(values.folder, (folder) => runColdStart(root, folder, Number(values.rounds ?? 5)))
    return 0
  }
  if (values.shred) {
    await inFolder(values.folder, (folder) => runShred(root, folder, Number(values.rounds ?? 5)))
    return 0
  }
  if (values.storm) {
    await inFolder(values.folder, (folder) => runStorm(root, folder, values.quick ?? false))
    return 0
  }
  const timing: Timing = {
    rounds: Number(values.rounds ?? (values.quick ? 1 : 5)),
    warmUpMs: values.quick ? 100 : 300,
    durationMs: 1000 * Number(values.seconds ?? (values.quick ? 0.5 : 1.5)),
    asIs: values['as-is'] ?? false
  }
  if (values.floor) {
    await inFolder(values.folder, (folder) => runFloor(root, folder, timing))
    return 0
  }
  if (values.workers) {
    await inFolder(values.folder, (folder) => runWorkers(root, folder, timing))
    return 0
  }
  if (!values['no-run']) {
    await inFolder(values.folder, (folder) =>
      run(root, folder, chosen(values.rows), timing, values.quick && !values.json ? undefined : json)
    )
  }
  if (values.document) writeDocument(root, load(json))
  return 0
}

/** A folder that nobody named is made for the run and goes behind it. */
async function inFolder(named: string | undefined, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = named ?? mkdtempSync(join(tmpdir(), 'cloudx-bench-'))
  // Servers are ended, and the folder goes, also when a signal ends the bench.
  for (const [signal, number] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(128 + number))
  process.once('exit', () => {
    // Again where a server that is just being ended still makes a file.
    if (named === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })
  await work(folder)
}

async function run(
  root: string,
  folder: string,
  rows: readonly Row[],
  timing: Timing,
  json: string | undefined
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const images = { ours: join(folder, 'ours.img'), theirs: join(folder, 'tgtd.img') }
  for (const image of Object.values(images)) makeImage(image, IMAGE_BYTES)
  const servers: Server[] = []
  const verdicts = []
  try {
    servers.push(await startCloudx(root, folder, images.ours, PORT))
    servers.push(await startTgtd(folder, images.theirs, PORT + 1))
    for (const row of rows.filter(canMeasure)) {
      // Compilers that work while a program runs are done by now, and memory that the host had taken back is there.
      for (let runs = 0; runs < WARM_UP_RUNS; runs++) {
        for (const server of servers) await measureOnce(row, server, timing)
      }
      const result = await measureRow(row, servers, timing)
      const verdict = judge(result)
      verdicts.push(verdict)
      process.stdout.write(`${row.id.padEnd(18)} rate ${verdict.rate.toFixed(2)} CPU ${verdict.cpu.toFixed(2)}\n`)
      if (json !== undefined) keep(json, folder, result, timing.asIs ?? false)
    }
  } finally {
    for (const server of servers) await server.stop()
  }
  const judged = verdicts.filter(({ reached }) => reached !== undefined)
  say(`\n${tableOf(verdicts)}\n\n${judged.filter(({ reached }) => reached).length} of ${judged.length} goals reached\n`)
}

function chosen(ids: string | undefined): readonly Row[] {
  if (ids === undefined) return ROWS
  const rows = ids.split(',').map((id) => ROWS.find((row) => row.id === id) ?? id)
  const unknown = rows.filter((row) => typeof row === 'string')
  if (unknown.length > 0) throw new Error(`no row is called ${unknown.join(', ')}; --list names them`)
  return rows as Row[]
}

function keep(json: string, folder: string, result: RowResult, asIs: boolean): void {
  const before = load(json)
  if (asIs) return save(json, { ...before, asIs: { ...before.asIs, [result.id]: result } })
  const rows = { ...before.rows, [result.id]: result }
  save(json, { ...before, machine: describeMachine(folder), date: new Date().toISOString().slice(0, 10), rows })
}

function load(json: string): Measurement {
  if (!existsSync(json)) return { rows: {} }
  return JSON.parse(readFileSync(json, 'utf8')) as Measurement
}

function save(json: string, measurement: Measurement): void {
  writeFileSync(json, `${JSON.stringify(measurement, rounded, 1)}\n`)
}

/** Four digits say more than the measurement knows. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}

function documented(root: string, json: string): number {
  writeDocument(root, load(json))
  return 0
}

function writeDocument(root: string, measurement: Measurement): void {
  const judged = (rows: Measurement['rows']) => ROWS.flatMap(({ id }) => (rows[id] ? [judge(rows[id])] : []))
  const verdicts = judged(measurement.rows)
  writeFileSync(join(root, 'docs/performance.md'), documentOf(measurement, verdicts, judged(measurement.asIs ?? {})))
  writeFileSync(join(root, 'docs/performance.svg'), plot(verdicts))
  if (measurement.growth) writeFileSync(join(root, 'docs/growth.svg'), plotGrowth(measurement.growth))
  if (measurement.restores) writeFileSync(join(root, 'docs/restore.svg'), plotComparison(measurement.restores))
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}

const PORT = 14260
const WARM_UP_RUNS = 2
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }
