import { closeSync, openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { ConfigError, readConfiguration } from '../../target/config.js'
import type { BannerOptions } from '../../target/config.js'
import type { Control } from '../../target/control.js'
import type { ServerOptions } from '../../target/options.js'
import type { ServerParts } from '../../target/server.js'
import { messageOf } from '../../util/errors.js'
import { systemClock } from '../../util/clock.js'
import { openLog } from '../../util/log.js'
import type { Logger, LogOptions } from '../../util/log.js'
import { closest } from '../../util/closest.js'
import { isLocalAddress } from '../../target/addresses.js'
import { bannerLines } from '../banner.js'
import { bannerFacts } from '../banner-facts.js'
import { print } from '../command.js'
import type { CliContext, Command } from '../command.js'
import { agreeToDiscards } from '../consent.js'
import { openConsole } from '../console.js'
import { sentencesOf } from '../failure.js'
import { containerAddress } from '../host/container.js'
import { thisSystem } from '../host/system.js'
import { textOfProcess } from '../language.js'
import { entriesOf, single, withSettings } from '../options.js'
import type { ParsedArguments } from '../options.js'
import { version } from '../version.js'
import { watchSignals } from '../signals.js'
import type { StopWatch } from '../signals.js'

/** What `serve` needs of a server. */
export interface Server {
  /** Opens images and deltas; nobody can log in yet. */
  open(): Promise<void>
  readonly control: Control
  /** Resolves with the addresses it listens on; only then do clients get answers. */
  listen(): Promise<Listening>
  /** Asks the initiators to leave, waits for them a bounded time, keeps their deltas. */
  close(): Promise<void>
}

type Listening = readonly { readonly address: string; readonly port: number }[]

type Parts = Pick<ServerParts, 'log' | 'clock' | 'describeOneSource'>
export type MakeServer = (options: ServerOptions, parts: Parts) => Promise<Server>
export type WatchStop = () => StopWatch
/** Opens the control channel of a server in its state directories. */
export type OpenAdmin = (control: Control, log: Logger) => Promise<{ close(): Promise<void> }>

/** Serves until a stop signal. */
export const serve: Command = serveWith(makeServer, () => watchSignals(exitAtOnce), openAdmin)

/** The command with its server and signals put in, which is how a spec runs it. */
export function serveWith(make: MakeServer, watch: WatchStop, admin: OpenAdmin): Command {
  return {
    usage: ['serve [image..]', '$0'],
    about: 'Share images over iSCSI (what cloudx does when no command is named)',
    options: (yargs) =>
      withSettings(
        yargs
          .positional('image', { type: 'string', array: true, describe: 'The same as --lun' })
          .option('config', {
            nargs: 1,
            requiresArg: true,
            group: 'Server:',
            describe: 'Read settings from this file'
          })
          .option('yes', {
            type: 'boolean',
            group: 'Access:',
            describe: 'Answer the question of --author-discards with yes'
          })
      ),

    async run(args, context) {
      const { environment, directory, stdout, stderr, ask } = context
      const images = imagesOf(args)
      const commandLine = entriesOf(args, images, directory)
      const sources = { commandLine, configFile: single(args, 'config'), environment, directory }
      const { server: options, log: logOptions, banner, warnings } = await readConfiguration(sources)
      tryLogFile(logOptions)
      const console = openConsole(stdout, stderr)
      const log = openLog(logOptions, console.stderr)
      try {
        for (const warning of warnings) log.warn(warning)
        const agree = (server: Server) => agreeToDiscards(options, server.control, args.yes === true, ask)
        const tell = (listening: Listening) => {
          if (options.advertise === undefined) void warnOfContainer(log)
          if (!(banner.wanted ?? isTerminal(stdout))) return warnOfOpenTargets(options, listening, log)
          // It asks other programs, and the clients do not wait for it.
          const shown = showBanner(options, listening, banner, { ...context, stdout: console.stdout })
          shown.catch((error: unknown) => {
            log.warn(`Cannot tell how to connect: ${messageOf(error)}`)
            warnOfOpenTargets(options, listening, log)
          })
        }
        const { oneSource: describeOneSource } = textOfProcess(banner.language, environment).banner
        const parts = { log, clock: systemClock, describeOneSource }
        return await serveUntilStopped(options, parts, make, watch, admin, agree, tell)
      } finally {
        await log.close()
        await console.close()
      }
    }
  }
}

/** What could have been meant by a word that looks like a command. */
export const VERBS: readonly string[] = [
  'serve',
  'check-config',
  'secret',
  'image',
  'status',
  'sessions',
  'delta',
  'doctor',
  'initiator'
]

/** A mistyped command must not become a new image of that name. */
function imagesOf({ image, '--': literal }: ParsedArguments): readonly string[] {
  const images = [image, literal].flatMap((list) => (Array.isArray(list) ? list.map(String) : []))
  const [first] = images
  const near = first !== undefined && /^[a-z-]+$/.test(first) ? closest(first, VERBS) : undefined
  if (near === undefined) return images
  throw new ConfigError([`"${first}" is no command; did you mean ${near}? (An image of this name is ./${first}.)`])
}

async function serveUntilStopped(
  options: ServerOptions,
  parts: Parts,
  make: MakeServer,
  watch: WatchStop,
  admin: OpenAdmin,
  agree: (server: Server) => Promise<void>,
  tell: (listening: Listening) => void
): Promise<number> {
  const { log } = parts
  // Before anything is opened, so that a stop in the middle of the start is also a graceful one.
  const stop = watch()
  // A promise that nobody looked after is a mistake of ours that must not end everybody's sessions.
  const stray = (reason: unknown): void => log.error(`A mistake in the server: ${messageOf(reason)}`, { reason })
  process.on('unhandledRejection', stray)
  try {
    const server = await make(options, parts)
    await server.open()
    await agree(server).catch(async (error: unknown) => {
      await server.close()
      throw error
    })
    // Before clients get in: whoever reads that the server listens can ask it.
    const channel = await admin(server.control, log)
    const addresses = await server.listen().catch(async (error: unknown) => {
      await channel.close()
      throw error
    })
    for (const { address, port } of addresses) log.info(`Listening on ${withPort(address, port)}.`, { address, port })
    tell(addresses)
    const signal = await stop.stopped
    log.info(
      `Stopping after ${signal}: asking the clients to leave. Their deltas are kept; a second signal ends at once.`
    )
    await channel.close()
    await server.close()
    log.info('Stopped.')
    return 0
  } catch (error) {
    for (const sentence of sentencesOf(error)) log.error(sentence)
    return 1
  } finally {
    process.off('unhandledRejection', stray)
    stop.end()
  }
}

/** Where there is no banner the log says it: who may come is nothing to find out by surprise. */
function warnOfOpenTargets({ targets }: ServerOptions, listening: Listening, log: Logger): void {
  if (listening.every(({ address }) => isLocalAddress(address, {}))) return
  for (const { name, access } of targets) {
    if (access.chap !== undefined || (access.allow.length > 0 && !access.allow.includes('*'))) continue
    log.warn(`${name} is OPEN TO EVERYONE ON THIS NETWORK: neither CHAP nor --allow limits who may log in.`)
  }
}

/** Discovery would send the others to an address that exists on this PC alone. */
async function warnOfContainer(log: Logger): Promise<void> {
  const address = await containerAddress(thisSystem)
  if (address === undefined) return
  log.warn(
    `This is a container with a network of its own: clients would be told its address ${address}, where they find ` +
      'nobody. Start it with --advertise and the address of the PC it runs on, or with the network of that PC ' +
      '(--network host).',
    { address }
  )
}

async function showBanner(
  options: ServerOptions,
  listening: Listening,
  { language }: BannerOptions,
  { stdout, environment, invocation }: CliContext
): Promise<void> {
  const { banner: text } = textOfProcess(language, environment)
  const facts = await bannerFacts({ options, listening, system: thisSystem, invocation, sizeOf }, text)
  const lines = bannerLines(facts, text, process.stdout.columns || COLUMNS_ELSEWHERE)
  // In one write, so that no line of the log comes between.
  print(stdout, lines.join('\n'))
}

/** A window that does not tell its width has had this one for fifty years. */
const COLUMNS_ELSEWHERE = 80

function isTerminal(stream: NodeJS.WritableStream): boolean {
  return (stream as Partial<NodeJS.WriteStream>).isTTY === true
}

/** A device has no size that stat knows. */
async function sizeOf(path: string): Promise<number | undefined> {
  const stats = await stat(path).catch(() => undefined)
  return stats?.isFile() === true ? stats.size : undefined
}

/** The server is loaded when it is wanted, so that --help and a mistake in an option are answered at once. */
async function makeServer(options: ServerOptions, parts: Parts): Promise<Server> {
  const { IscsiServer } = await import('../../target/server.js')
  if (options.workers === 1) return new IscsiServer(options, parts)
  const { Workers } = await import('../../target/workers/workers.js')
  const { startWorkerProcess } = await import('../../target/workers/process.js')
  return new IscsiServer(options, { ...parts, workers: new Workers(options, { ...parts, start: startWorkerProcess }) })
}

/** A place where no socket can be made, such as a network drive, is no reason to serve nobody. */
async function openAdmin(control: Control, log: Logger): Promise<{ close(): Promise<void> }> {
  const { AdminServer } = await import('../../admin/server.js')
  const server = new AdminServer({ control, version: version(), log })
  for (const { path } of await control.space()) {
    await server.listen(path).catch((error: unknown) => {
      log.warn(
        `The commands status, sessions and delta cannot reach this server: no socket in ${path} (${messageOf(error)}).`
      )
    })
  }
  return server
}

/** A log file that cannot be written is told now; later the log swallows its own errors. */
function tryLogFile({ file }: LogOptions): void {
  if (file !== undefined) closeSync(openSync(file, 'a'))
}

/** 128 + number, as shells count a process that a signal ended. */
function exitAtOnce(signal: NodeJS.Signals): void {
  process.exit(signal === 'SIGINT' ? 130 : 143)
}

function withPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
