import { execFile } from 'node:child_process'
import { chmod, unlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Argv } from 'yargs'
import type { CopyPart } from '../admin/client.js'
import { writeAll } from '../target/creation/copy.js'
import { makeFile } from '../target/creation/new-file.js'
import { codeOf, IscsiError, messageOf } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import { tell, type CliContext } from './command.js'
import type { ParsedArguments } from './options.js'
import { withProgress } from './progress.js'

const run = promisify(execFile)

/** What a client wrote is nobody else's business. */
const PRIVATE_MODE = 0o600

const COPY_FORMATS = ['raw', 'qcow2'] as const
export type CopyFormat = (typeof COPY_FORMATS)[number]

/** That of the name when none is said. */
export function formatOf(path: string): CopyFormat {
  return /\.qcow2$/i.test(path) ? 'qcow2' : 'raw'
}

/** The positional and the option of a command that makes a copy of a disk. */
export function withCopy<T>(yargs: Argv<T>): Argv {
  return yargs
    .positional('file', { type: 'string', describe: 'The file to make; nothing may have this name yet' })
    .option('format', { choices: COPY_FORMATS, describe: 'That of the file name when absent' })
}

/** @throws IscsiError when it needs a program that is not installed */
export async function chosenFormat(args: ParsedArguments, path: string): Promise<CopyFormat> {
  const format = COPY_FORMATS.find((one) => one === args.format) ?? formatOf(path)
  if (format === 'qcow2') await needQemuImg()
  return format
}

/** Writes it with a bar and tells what was made. */
export async function tellCopy(
  args: ParsedArguments,
  context: CliContext,
  parts: AsyncGenerator<CopyPart>,
  file: string,
  format: CopyFormat
): Promise<void> {
  const write = format === 'qcow2' ? writeQcow2 : writeCopy
  const bytes = await withProgress(context.stderr, (update) => write(parts, file, update))
  tell(args, context, { file, format, bytes }, () => [`${file}: ${formatSize(bytes)}, ${format}.`])
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
      if (part.kind === 'data') await writeAll(handle, part.bytes, part.offset, path)
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
