import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** The path without links as far as it exists: two targets that reach one folder by two ways share it. */
export async function realPlace(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const parent = await realpath(dirname(path)).catch(() => dirname(path))
    return join(parent, basename(path))
  }
}
