import { open, readdir } from 'node:fs/promises'
import { codeOf } from './errors.js'

/** Makes names in a directory safe on disk: files made, renamed and removed in it. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows opens no directory; its file systems journal names by themselves.
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Names in a directory; none where it does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}
