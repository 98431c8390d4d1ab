import { createRequire } from 'node:module'

/** What Cloud-x uses of fs-native-extensions, which ships no types. Offsets and lengths are bytes. */
export interface NativeExtensions {
  /** Locks a byte range of an open file; false when somebody else holds it. Throws what fcntl gives otherwise. */
  tryLock(fd: number, offset: number, length: number, options: { shared: boolean }): boolean
  unlock(fd: number, offset: number, length: number): void
  /** Gives the space of a range back; it reads as zeroes then and the file keeps its size. */
  trim(fd: number, offset: number, length: number): Promise<void>
  /** Marks a file as sparse, which only NTFS asks for. */
  sparse(fd: number): Promise<void>
}

/**
 * The optional module, or undefined where it is not installed or has no build for this platform. Everything that uses
 * it has a way without.
 */
export function nativeExtensions(): NativeExtensions | undefined {
  if (loaded === null) loaded = load()
  return loaded
}

let loaded: NativeExtensions | undefined | null = null

function load(): NativeExtensions | undefined {
  try {
    return createRequire(import.meta.url)('fs-native-extensions') as NativeExtensions
  } catch {
    return undefined
  }
}
