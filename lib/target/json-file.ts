import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from '../util/directory.js'
import { codeOf, messageOf } from '../util/errors.js'
import { TargetError } from './errors.js'

/** A record of ours is a few kilobytes; a file beyond this is not one. */
const MAX_JSON_BYTES = 1024 * 1024

/** The parsed file, or undefined when there is none. Throws TargetError ERR_ISCSI_STATE for one that is no JSON. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new TargetError('ERR_ISCSI_STATE', `${path} is damaged: ${messageOf(error)}`, { cause: error })
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path)
    if (bytes.length > MAX_JSON_BYTES) throw new TargetError('ERR_ISCSI_STATE', `${path} is too large for a record`)
    return bytes.toString('utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Replaces the file as a whole, mode 0600: a reader, also one after a power cut, finds the old or the new content. The
 * caller sees to it that nobody else writes the same path at the same time.
 * @param durable - false leaves the power cut to a later call; the death of the process is survived at once
 */
export async function writeJson(path: string, value: unknown, durable = true): Promise<void> {
  const draft = `${path}.new`
  const file = await open(draft, 'w', 0o600)
  try {
    try {
      await file.writeFile(`${JSON.stringify(value, undefined, 2)}\n`)
      if (durable) await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await removeFile(draft).catch(() => undefined)
    throw error
  }
  if (durable) await syncDirectory(dirname(path))
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true })
}
