import { createHash } from 'node:crypto'
import { mkdtemp, realpath, rm, symlink, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Where the control channel of a state directory is: the socket `control.sock` in it, or on Windows, whose sockets have
 * no place in a folder, a named pipe with the hash of the directory's path.
 */
export const SOCKET_NAME = 'control.sock'

/**
 * Bytes of a path that fit into an address of every system (sun_path has 104 on macOS and 108 on Linux, with a NUL).
 * A longer one would be cut off without a word, or refused.
 */
export const SOCKET_PATH_BYTES_MAX = 103

/** @param platform - for specs */
export function endpointOf(stateDirectory: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== 'win32') return join(stateDirectory, SOCKET_NAME)
  // The file system takes upper and lower case for the same.
  const hash = createHash('sha256').update(stateDirectory.toLowerCase()).digest('hex')
  return `\\\\.\\pipe\\cloudx-${hash.slice(0, 32)}`
}

/**
 * Calls `use` with a path of the endpoint that is short enough for an address. A long one is reached through a link to
 * its folder in a private directory, which is gone again when `use` is done: the socket itself lies where it belongs,
 * however deep that is.
 */
export async function withEndpoint<T>(stateDirectory: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = endpointOf(stateDirectory)
  if (process.platform === 'win32' || Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return use(path)
  const shelter = await mkdtemp(join(tmpdir(), 'cloudx-socket-'))
  const link = join(shelter, 's')
  try {
    await symlink(await realpath(stateDirectory), link)
    return await use(join(link, SOCKET_NAME))
  } finally {
    await unlink(link).catch(() => undefined)
    await rm(shelter, { recursive: true, force: true })
  }
}
