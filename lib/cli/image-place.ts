import { realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import type { ImageView } from '../target/control.js'
import { IscsiError } from '../util/errors.js'
import type { CliContext } from './command.js'
import { findServer, withPlace } from './find-server.js'
import { single, wholeNumber, type ParsedArguments } from './options.js'

/** The positional and the options that say which image of which server is meant. */
export function withImage<T>(yargs: Argv<T>): Argv {
  return withPlace(yargs.positional('where', { type: 'string', describe: WHERE_IMAGE })).option('image', {
    nargs: 1,
    requiresArg: true,
    describe: 'The image, by path or UUID, when the server has several'
  })
}

const WHERE_IMAGE =
  'The image; or the state directory or configuration file of its server; without it, the server of this folder'

/** The image as the server names it, or undefined when nothing says which. */
export async function imageOf(args: ParsedArguments, { directory }: CliContext): Promise<string | undefined> {
  const named = single(args, 'image')
  if (named !== undefined) return UUID.test(named) ? named : real(resolve(directory, named))
  const place = single(args, 'lun') ?? (typeof args.where === 'string' ? args.where : undefined)
  if (place === undefined || /\.ya?ml$/i.test(place)) return undefined
  const path = resolve(directory, place)
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() ? undefined : real(path)
}

/** The image that an order would be for. */
export function chosenImage(images: readonly ImageView[], wanted: string | undefined): ImageView {
  const found = images.filter(({ path, uuid }) => wanted === undefined || path === wanted || uuid === wanted)
  const [first, second] = found
  if (first && !second) return first
  const paths = images.map(({ path }) => path).join(', ')
  throw new IscsiError('ERR_ADMIN_WHICH', `Say which image is meant with --image: ${paths}`)
}

/** The image that a person asked about, as its server shows it. */
export async function askedImage(args: ParsedArguments, context: CliContext): Promise<ImageView> {
  const { client } = await findServer(args, context)
  const { images } = await client.images()
  return chosenImage(images, await imageOf(args, context))
}

/** @throws ConfigError when the option has no number */
export function generationOf(args: ParsedArguments, name: string): number | undefined {
  return wholeNumber(args, name, [0, 999_999_999], 'the number of a generation')
}

function real(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
