import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import { ConfigError } from '../../target/config.js'
import { settingOf, SETTINGS } from '../../target/config/settings.js'
import type { SettingKey, SettingValue } from '../../target/config/settings.js'
import { DEFAULT_LABEL, labelProblem } from '../../target/creation/label.js'
import { formatSize } from '../../util/units.js'
import { print } from '../command.js'
import type { CliContext, Command } from '../command.js'
import { languageOf, textOfProcess, withLanguage } from '../language.js'
import { single } from '../options.js'
import type { ParsedArguments } from '../options.js'
import { Progress } from '../progress.js'
import type { ImageText } from '../text/text.js'
import { watchSignals } from '../signals.js'
import type { StopWatch } from '../signals.js'

/** As a shell counts a process that Ctrl+C ended. */
const EXIT_INTERRUPTED = 130

/** Makes image files; nothing is served. */
export const imageCreate: Command = imageCreateWith(() => watchSignals(() => process.exit(EXIT_INTERRUPTED)))

/** The command with its signals put in, which is how a spec runs it. */
export function imageCreateWith(watch: () => StopWatch): Command {
  return {
    usage: 'create <file>',
    about: 'Make an image: an empty drive, a folder on a drive, or zeroes',
    options,

    async run(args, context) {
      const { image: text } = textOfProcess(languageOf(args), context.environment)
      const order = orderOf(args, context.directory)
      const stop = watch()
      const abort = new AbortController()
      void stop.stopped.then(() => abort.abort())
      try {
        await create(order, abort.signal, context, text)
        return 0
      } catch (error) {
        if (!abort.signal.aborted) throw error
        print(context.stderr, `cloudx: ${text.interrupted(order.path)}`)
        return EXIT_INTERRUPTED
      } finally {
        stop.end()
      }
    }
  }
}

function options(yargs: Argv): Argv {
  const value = { nargs: 1, requiresArg: true } as const
  return withLanguage(yargs)
    .positional('file', { type: 'string', describe: 'The image to make; nothing may have this name yet' })
    .option('size', { ...value, describe: 'Size of the disk, such as 50G; it fits the folder, or is 8G, when absent' })
    .option('from', { ...value, describe: 'Put what is in this folder on the drive' })
    .option('label', { ...value, describe: `Name of the drive, at most 11 characters [${DEFAULT_LABEL}]` })
    .option('block-size', { ...value, describe: 'Bytes of a logical block, the same as when it is served [512]' })
    .option('blank', { type: 'boolean', describe: 'Zeroes alone, without a file system' })
    .example([
      ['cloudx image create share.img', 'An empty drive of 8 GiB with a text that explains it'],
      ['cloudx image create share.img --size 50G --from ./folder', 'A drive of 50 GiB with what is in the folder'],
      ['cloudx image create share.img --from ./folder --label MOVIES', 'As large as the folder needs, and some room'],
      ['cloudx image create disk.img --size 50G --blank', 'A disk to be partitioned by whoever uses it']
    ] as unknown as [string, string][])
}

interface Order {
  readonly path: string
  readonly sizeBytes: number | undefined
  readonly folder: string | undefined
  readonly label: string
  readonly blockSize: number
  readonly blank: boolean
}

function orderOf(args: ParsedArguments, directory: string): Order {
  const path = String(args.file)
  const from = single(args, 'from')
  const label = (single(args, 'label') ?? DEFAULT_LABEL).normalize('NFC')
  const order = {
    path: resolve(directory, path),
    sizeBytes: valueOf(args, 'size'),
    folder: from === undefined ? undefined : resolve(directory, from),
    label,
    blockSize: valueOf(args, 'block-size') ?? Number(SETTINGS['block-size'].preset),
    blank: args.blank === true
  }
  const problems = problemsOf(order, args)
  if (path === '') problems.unshift('The name of the image is empty.')
  if (problems.length > 0) throw new ConfigError(problems)
  return order
}

function problemsOf({ sizeBytes, folder, label, blockSize, blank }: Order, args: ParsedArguments): string[] {
  const problems = []
  const wrongLabel = labelProblem(label)
  if (wrongLabel !== undefined) problems.push(`--label: "${label}" ${wrongLabel}`)
  if (blank && folder !== undefined)
    problems.push('--blank: a disk of zeroes holds no folder; leave out --blank or --from')
  if (blank && args.label !== undefined) problems.push('--blank: a disk of zeroes has no label')
  if (sizeBytes !== undefined && sizeBytes % blockSize !== 0) {
    problems.push(`--size: ${sizeBytes} bytes is not a multiple of the block size, ${blockSize}`)
  }
  return problems
}

/** An option that `serve` has too, read in the same way. */
function valueOf<K extends SettingKey>(args: ParsedArguments, key: K): SettingValue<K> | undefined {
  const text = single(args, key)
  if (text === undefined) return undefined
  const { kind } = settingOf(key)
  const value = kind.parse(text)
  if (value === undefined) throw new ConfigError([`--${key}: "${text}" must be ${kind.expects}`])
  return value as SettingValue<K>
}

async function create(
  order: Order,
  signal: AbortSignal,
  { stdout, stderr }: CliContext,
  text: ImageText
): Promise<void> {
  // Loaded when it is wanted, so that --help and a mistake in an option are answered at once.
  const { createBlankImage, createFolderImage, createWelcomeImage } =
    await import('../../target/creation/create-image.js')
  const { refuseOrphanedState } = await import('../../target/creation/missing-image.js')
  const { path, folder, label, blockSize, blank } = order
  await refuseOrphanedState(path)
  const shape = { sizeBytes: order.sizeBytes ?? SETTINGS.size.kind.parse(SETTINGS.size.preset!)!, blockSize }
  if (blank) {
    await createBlankImage(path, shape)
    return print(stdout, text.blank(path, formatSize(shape.sizeBytes)))
  }
  if (folder === undefined) {
    await createWelcomeImage(path, shape, Date.now(), label)
    return print(stdout, text.empty(path, label, formatSize(shape.sizeBytes)))
  }
  const progress = new Progress(stderr)
  let summary = ''
  try {
    await createFolderImage({
      ...{ path, folder, label, blockSize, signal, sizeBytes: order.sizeBytes },
      found: ({ fileCount, directoryCount, contentBytes, leftOut }, sizeBytes) => {
        for (const sentence of leftOut) print(stderr, text.leftOut(sentence))
        const content = { fileCount, directoryCount, size: formatSize(contentBytes) }
        summary = text.filled(path, label, formatSize(sizeBytes), content)
      },
      progress: (done, total) => progress.update(done, total)
    })
  } finally {
    progress.end()
  }
  print(stdout, summary)
}
