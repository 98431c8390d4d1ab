import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../util/errors.js'
import { readPartitionTable } from '../volume/partition-table.js'
import { readVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import { writeJson } from './json-file.js'

/** What is saved of each end of the image. */
export const END_BYTES = 1024 * 1024
/** Sessions that are remembered; the oldest goes first. */
export const MAX_BACKUPS = 16

/**
 * Saves what an author's tool can spoil with one wrong click: the partition table, and the first and the last MiB, where
 * the tables and their copies lie. A directory a session: `first.bin`, `last.bin`, `table.json`.
 * @param directory - that of the image; exists
 * @param nowMs - wall clock
 * @returns where it was saved
 */
export async function saveEnds(volume: Volume, directory: string, nowMs: number): Promise<string> {
  const path = join(directory, new Date(nowMs).toISOString().replace(/[:.]/g, '-'))
  await mkdir(path, { recursive: true, mode: 0o700 })
  const length = Math.min(END_BYTES, volume.size)
  await save(join(path, 'first.bin'), volume, 0, length)
  await save(join(path, 'last.bin'), volume, volume.size - length, length)
  await writeJson(join(path, 'table.json'), {
    imageBytes: volume.size,
    endBytes: length,
    ...(await describeTable(volume))
  })
  await removeOldest(directory)
  return path
}

async function save(path: string, volume: Volume, offset: number, length: number): Promise<void> {
  const bytes = Buffer.alloc(length)
  await readVolume(volume, bytes, offset)
  await writeFile(path, bytes, { mode: 0o600, flush: true })
}

/** The table in readable form; an image without one is said to have none. */
async function describeTable(volume: Volume): Promise<object> {
  try {
    const table = await readPartitionTable(volume)
    return { table: JSON.parse(JSON.stringify(table, plain)) as unknown }
  } catch (error) {
    return { table: null, reason: messageOf(error) }
  }
}

/** JSON knows neither 64-bit integers nor bytes. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

async function removeOldest(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
  for (const name of names.slice(0, Math.max(0, names.length - MAX_BACKUPS))) {
    await rm(join(directory, name), { recursive: true, force: true })
  }
}
