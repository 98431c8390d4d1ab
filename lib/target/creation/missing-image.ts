import { lstat, readdir, stat } from 'node:fs/promises'
import { statSync } from 'node:fs'
import { basename, dirname, extname, join, relative } from 'node:path'
import { closest, editDistance } from '../../util/closest.js'
import { quoted } from '../../util/quoted.js'
import { TargetError } from '../errors.js'
import { realPlace } from '../real-place.js'
import { hashOf } from '../state-directory.js'
import { stateBeside } from '../state-place.js'

/**
 * Before a missing image is made: is it really a new one that is wanted? An image that was moved away, and one whose
 * name was mistyped, would both come back as an empty drive, and what the clients wrote over the real one would count
 * as lost. So those are refused, with the way out.
 */
export interface MissingImage {
  readonly path: string
  /** Where its state will be kept. */
  readonly statePath: string
  /** Paths of the images that are served beside it: `disk2.img` is no mistyped `disk1.img`. */
  readonly others: readonly string[]
}

/** Names of which a mistake is guessed; beyond that only the longest folder listings are cut. */
const NAMES_MAX = 10_000
/** A shorter stem is too near to any other. */
const STEM_LENGTH_MIN = 3
const TYPING_ERRORS_MAX = 2
/** Smaller files are no images. */
const IMAGE_BYTES_MIN = 2 ** 20
const SECTOR_LENGTH = 512

/** @throws TargetError `ERR_ISCSI_IMAGE_MISSING` */
export async function refuseDoubtful({ path, statePath, others }: MissingImage): Promise<void> {
  if (isOnDeviceFileSystem(path)) {
    throw missing(`${path} does not exist: there is no such device, and none is made`)
  }
  await refuseOrphanedState(path)
  if (await isRemembered(path, statePath)) {
    throw missing(
      `${path} does not exist, but ${statePath} knows it: it was moved, renamed or deleted. Put it back, or make a new ` +
        `one on purpose: cloudx image create ${quoted(path)}`
    )
  }
  const near = await similarImage(path, others)
  if (near === undefined) return
  throw missing(
    `${path} does not exist; did you mean ${near}, which lies beside it? If a new image is wanted: ` +
      `cloudx image create ${quoted(path)}`
  )
}

/** @throws TargetError `ERR_ISCSI_IMAGE_MISSING` when there is a state directory without its image */
export async function refuseOrphanedState(path: string): Promise<void> {
  const beside = stateBeside(path)
  if (!(await exists(beside)) || (await exists(path))) return
  throw missing(
    `${path} does not exist, but ${beside} does, with what clients wrote over it: the image was moved, renamed or ` +
      `deleted. Put it back; or, to begin anew without those changes, remove ${quoted(beside)}`
  )
}

/** A regular file in /dev itself would take the place of a device that is not plugged in. */
function isOnDeviceFileSystem(path: string): boolean {
  if (/^\\\\[.?]\\/.test(path)) return true
  if (!path.startsWith('/dev/')) return false
  const [folder, devices] = [dirname(path), '/dev'].map((name) => statSync(name, { throwIfNoEntry: false }))
  // A file system can lie below /dev too: /dev/shm.
  return folder === undefined || folder.dev === devices?.dev
}

/** A state directory in another place knows its images by their paths relative to it. */
async function isRemembered(path: string, statePath: string): Promise<boolean> {
  const [state, image] = await Promise.all([realPlace(statePath), realPlace(path)])
  const record = join(state, 'images', `${hashOf(relative(state, image))}.json`)
  return exists(record)
}

async function similarImage(path: string, others: readonly string[]): Promise<string | undefined> {
  const folder = dirname(path)
  const served = new Set(others.map((other) => basename(other)))
  const names = (await readdir(folder).catch(() => [])).slice(0, NAMES_MAX).filter((name) => !served.has(name))
  const near = names.filter((name) => isSimilar(basename(path), name))
  const images = []
  for (const name of near) if (await looksLikeImage(join(folder, name))) images.push(name)
  return closest(basename(path), images) ?? images[0]
}

/** True where one name can be the other with a typing error, or with another ending. */
export function isSimilar(wanted: string, found: string): boolean {
  const [a, b] = [folded(wanted), folded(found)]
  if (a === b) return true
  const [stemA, stemB] = [a, b].map((name) => name.slice(0, name.length - extname(name).length)) as [string, string]
  if (stemA === stemB) return true
  // Whoever numbers names means different ones.
  if (withoutDigits(a) === withoutDigits(b) || Math.min(stemA.length, stemB.length) < STEM_LENGTH_MIN) return false
  const errorsMax = Math.min(TYPING_ERRORS_MAX, Math.max(1, Math.floor(stemA.length / 3)))
  return editDistance(a, b) <= errorsMax
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined
}

function folded(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

function withoutDigits(name: string): string {
  return name.replace(/\d/g, '')
}

async function looksLikeImage(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && found.isFile() && found.size >= IMAGE_BYTES_MIN && found.size % SECTOR_LENGTH === 0
}

function missing(message: string): TargetError {
  return new TargetError('ERR_ISCSI_IMAGE_MISSING', message)
}
