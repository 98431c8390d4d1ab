import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Argv } from 'yargs'
import { AdminClient, AdminError, type StatusAnswer } from '../admin/client.js'
import { readConfiguration } from '../target/config.js'
import { STATE_ENDING, stateBeside } from '../target/state-place.js'
import { codeOf, IscsiError } from '../util/errors.js'
import type { CliContext } from './command.js'
import { single, type ParsedArguments } from './options.js'

/** A server that answered, and what it said. */
export interface FoundServer {
  readonly client: AdminClient
  readonly status: StatusAnswer
}

/** Folders beside images that are looked into at most; a folder with more holds other things. */
const CANDIDATES_MAX = 64

/** The options that say which server is meant. */
export function withPlace<T>(yargs: Argv<T>): Argv {
  return yargs
    .option('lun', { nargs: 1, requiresArg: true, describe: 'The server that shares this image' })
    .option('state-dir', { nargs: 1, requiresArg: true, describe: 'The server that uses this state directory' })
    .option('config', { nargs: 1, requiresArg: true, describe: 'The server that was started with this file' })
}

/**
 * The one running server that is meant: by an image, a state directory, a configuration file, or else the only one that
 * the current folder knows of.
 * @throws IscsiError with a sentence when there is none, or more than one
 */
export async function findServer(args: ParsedArguments, context: CliContext): Promise<FoundServer> {
  const { directory } = context
  const [image, state, config] = ['lun', 'state-dir', 'config'].map((name) => single(args, name))
  const place = typeof args.where === 'string' ? args.where : undefined
  if (state !== undefined) return findAt([resolve(directory, state)], `the state directory ${state}`)
  if (config !== undefined) return findConfigured(config, context)
  if (image !== undefined) return findOfImage(image, directory)
  if (place === undefined) return findInFolder(directory)
  return findAtPlace(place, context)
}

/** A bare word: whatever of the three it is. */
async function findAtPlace(place: string, context: CliContext): Promise<FoundServer> {
  const path = resolve(context.directory, place)
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) {
    return (await isStateDirectory(path)) ? findAt([path], `the state directory ${place}`) : findInFolder(path)
  }
  if (/\.ya?ml$/i.test(place)) return findConfigured(place, context)
  return findOfImage(place, context.directory)
}

async function findConfigured(configFile: string, { environment, directory }: CliContext): Promise<FoundServer> {
  const { server } = await readConfiguration({ commandLine: new Map(), configFile, environment, directory })
  const beside = server.targets.flatMap(({ units }) => units.slice(0, 1).map(({ path }) => stateBeside(path)))
  return findAt(server.stateDirectory === undefined ? beside : [server.stateDirectory], configFile)
}

/** Beside the image, or a server of its folder or of this one that was given another place for its state. */
async function findOfImage(image: string, directory: string): Promise<FoundServer> {
  const path = resolve(directory, image)
  const beside = await running([stateBeside(path)])
  if (beside.length > 0) return only(beside, image)
  const real = await realpath(path).catch(() => path)
  const others = await running([...(await candidatesIn(directory)), ...(await candidatesIn(dirname(path)))])
  const sharing = others.filter(({ status }) =>
    status.targets.some(({ units }) => units.some((unit) => unit.path === real))
  )
  if (sharing.length > 0) return only(sharing, image)
  throw new IscsiError(
    'ERR_ADMIN_NO_SERVER',
    `No server shares ${image} (none answers in ${stateBeside(path)}). Start one with: cloudx ${image}. ` +
      'If it keeps its state elsewhere, name that folder with --state-dir.'
  )
}

async function findAt(stateDirectories: readonly string[], name: string): Promise<FoundServer> {
  const found = await running(stateDirectories)
  if (found.length > 0) return only(found, name)
  throw new IscsiError('ERR_ADMIN_NO_SERVER', `No server runs with ${name}. Start it first, or name another one.`)
}

async function findInFolder(folder: string): Promise<FoundServer> {
  const candidates = await candidatesIn(folder)
  const found = await running(candidates)
  if (found.length > 0) return only(found, folder)
  const looked =
    candidates.length === 0
      ? 'no image here has ever been shared'
      : `none of ${candidates.map((path) => basename(path)).join(', ')} has one`
  throw new IscsiError(
    'ERR_ADMIN_NO_SERVER',
    `No server runs in ${folder}: ${looked}. Name the image, for example: cloudx status ./share.img; ` +
      'or the state directory with --state-dir.'
  )
}

/** The folder itself, if it is one, and those beside images in it. */
async function candidatesIn(folder: string): Promise<string[]> {
  const names = await namesIn(folder)
  const beside = names.filter((name) => name.endsWith(STATE_ENDING)).map((name) => join(folder, name))
  return [...(names.includes('state.json') ? [folder] : []), ...beside.slice(0, CANDIDATES_MAX)]
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((): string[] => [])
}

async function isStateDirectory(path: string): Promise<boolean> {
  return (await namesIn(path)).includes('state.json')
}

/** Those that answer; a server with several state directories once. One that may not be asked is told. */
async function running(stateDirectories: readonly string[]): Promise<FoundServer[]> {
  const servers = new Map<string, FoundServer>()
  for (const stateDirectory of new Set(stateDirectories)) {
    const client = new AdminClient(await realpath(stateDirectory).catch(() => stateDirectory))
    try {
      const status = await client.status()
      const key = `${status.pid} ${status.startedAt}`
      if (!servers.has(key)) servers.set(key, { client, status })
    } catch (error) {
      if (!(error instanceof AdminError) || codeOf(error) !== 'ERR_ADMIN_NO_SERVER') throw error
    }
  }
  return [...servers.values()]
}

function only(found: readonly FoundServer[], name: string): FoundServer {
  const [first, second] = found
  if (!second) return first!
  const list = found.map(({ client, status }) => {
    const images = status.targets.flatMap(({ units }) => units.map(({ path }) => path))
    return `--state-dir ${client.stateDirectory} (${images.join(', ')})`
  })
  throw new IscsiError('ERR_ADMIN_WHICH', `${found.length} servers run for ${name}; say which: ${list.join('; ')}`)
}
