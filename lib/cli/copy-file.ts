import { execFile } from 'node:child_process'
import { chmod, unlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { CopyPart } from '../admin/client.js'
import { makeFile } from '../target/creation/new-file.js'
import { codeOf, IscsiError, messageOf } from '../util/errors.js'

const run = promisify(execFile)

/** What a client wrote is nobody else's business. */
const PRIVATE_MODE = 0o600

export const COPY_FORMATS = ['raw', 'qcow2'] as const
export type CopyFormat = (typeof COPY_FORMATS)[number]

/** That of the name when none is said. */
export function formatOf(path: string): CopyFormat {
  return /\.qcow2$/i.test(path) ? 'qcow2' : 'raw'
}

/**
 * Writes a copy into a new file, which appears when it is whole, sparse, for its user alone.
 * @param parts - of the server; the first one says the length
 * @returns bytes of the whole
 */
export async function writeCopy(
  parts: AsyncGenerator<CopyPart>,
  path: string,
  progress: (done: number, total: number) => void
): Promise<number> {
  const first = await parts.next()
  if (first.done || first.value.kind !== 'size') throw new IscsiError('ERR_ADMIN_ANSWER', 'the server sent no copy')
  const { lengthBytes } = first.value
  await makeFile(path, lengthBytes, async (handle) => {
    await handle.chmod(PRIVATE_MODE)
    for await (const part of parts) {
      if (part.kind === 'size') continue
      if (part.kind === 'data') await handle.write(part.bytes, 0, part.bytes.length, part.offset)
      progress(part.kind === 'data' ? part.offset + part.bytes.length : part.offset, lengthBytes)
    }
  })
  return lengthBytes
}

/** @throws IscsiError with a sentence when there is no `qemu-img` */
export async function needQemuImg(): Promise<void> {
  await run('qemu-img', ['--version']).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
    throw new IscsiError(
      'ERR_CLI_QEMU_IMG',
      'qcow2 needs qemu-img, which is not installed (Debian, Ubuntu: apt install qemu-utils); a raw file needs nothing'
    )
  })
}

/** The same as qcow2: through a raw file beside it, which goes again. */
export async function writeQcow2(
  parts: AsyncGenerator<CopyPart>,
  path: string,
  progress: (done: number, total: number) => void
): Promise<number> {
  const raw = `${path}.raw`
  const bytes = await writeCopy(parts, raw, progress)
  try {
    // The name is taken first, so that nobody's file is overwritten and nobody else reads it.
    await makeFile(path, 0, (handle) => handle.chmod(PRIVATE_MODE))
    try {
      await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path])
      await chmod(path, PRIVATE_MODE)
    } catch (error) {
      await unlink(path)
      throw new IscsiError('ERR_CLI_QEMU_IMG', `qemu-img: ${messageOf(error)}`, { cause: error })
    }
  } finally {
    await unlink(raw)
  }
  return bytes
}
