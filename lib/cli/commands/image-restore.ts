import { lstat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { BackupFolder, type Backup } from '../../target/backup/backup-folder.js'
import { restoreOver, restoreToFile } from '../../target/backup/restore-backup.js'
import { statesBeside } from '../../target/state-place.js'
import { IscsiError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { formatSize, formatTime } from '../../util/units.js'
import { tell, withJson, type CliContext, type Command } from '../command.js'
import { agree } from '../consent.js'
import { single, wholeNumber, type ParsedArguments } from '../options.js'
import { withProgress } from '../progress.js'
import { table } from '../table.js'

/** Gives a backup back: as a new file, or in the place of an image. Needs no server. */
export const imageRestore: Command = {
  usage: 'restore <folder> [file]',
  about: 'Give a backup back as a new image, or in the place of one that no server shares; without a file: list them',
  examples: [
    ['cloudx image restore /media/usb/share', 'What is there'],
    ['cloudx image restore /media/usb/share monday.img', 'The newest one, as a new image'],
    [
      'cloudx image restore /media/usb/share share.img --backup 3 --yes',
      'In the place of share.img, whose server is stopped'
    ]
  ],
  options: (yargs) =>
    withJson(yargs)
      .positional('folder', { type: 'string', describe: 'The folder with the backups' })
      .positional('file', { type: 'string', describe: 'The image to make, or to replace' })
      .option('backup', { nargs: 1, requiresArg: true, describe: 'Its number; without it the newest' })
      .option('state-dir', {
        nargs: 1,
        requiresArg: true,
        describe: 'Of the image that is replaced, when not beside it'
      })
      .option('yes', { type: 'boolean', describe: 'Replace the image without a question' }),

  async run(args, context) {
    const number = wholeNumber(args, 'backup', [1, 999_999_999], 'the number of a backup')
    const folder = await BackupFolder.open(resolve(context.directory, String(args.folder)), false)
    if (typeof args.file !== 'string') {
      tell(args, context, folder.backups, (backups) => list(backups, Date.now()))
      return 0
    }
    const backup = folder.find(number)
    const file = resolve(context.directory, args.file)
    const found = await lstat(file).catch(() => undefined)
    if (found && !found.isFile() && !found.isSymbolicLink()) {
      throw new IscsiError('ERR_ISCSI_BACKUP', `${file} is no file, so nothing can be restored to it`)
    }
    const aside = found ? await replace(folder, backup, file, args, context) : await make(folder, backup, file, context)
    tell(args, context, { ...backup, file, aside }, () => describe(file, backup, aside))
    return 0
  }
}

async function make(folder: BackupFolder, backup: Backup, file: string, { stderr }: CliContext): Promise<undefined> {
  await withProgress(stderr, (update) => restoreToFile(folder, backup, file, update))
}

async function replace(
  folder: BackupFolder,
  backup: Backup,
  file: string,
  args: ParsedArguments,
  context: CliContext
): Promise<string | undefined> {
  const state = single(args, 'state-dir')
  const question = `What is in ${file} is replaced by backup ${backup.number}, and what clients wrote over it is lost.`
  const isAlone = state === undefined && (await statesBeside(file)).length === 0
  await agree(isAlone ? `${question} ${NO_STATE}` : question, 'Nothing was replaced.', args, context)
  const place = {
    image: file,
    stateDirectory: state === undefined ? undefined : resolve(context.directory, state),
    log: SILENT,
    now: Date.now()
  }
  return withProgress(context.stderr, (update) => restoreOver(folder, backup, place, update))
}

const NO_STATE =
  'There is no state directory beside it. If it was shared with one elsewhere, name that with --state-dir: otherwise ' +
  'clients that come back take the new disk for the old one, which can destroy its file systems.'

function describe(file: string, { number, generation, sizeBytes, root }: Backup, aside: string | undefined): string[] {
  return [
    `${file}: backup ${number}, generation ${generation.number}, ${formatSize(sizeBytes)}, SHA-256 ${root}, read again and right.`,
    ...(aside === undefined ? [] : [`The generations that lay over the old one are put aside: ${aside}`])
  ]
}

function list(backups: readonly Backup[], now: number): string[] {
  if (backups.length === 0) return ['There is no backup.']
  const rows = backups.map((one) => [
    String(one.number),
    formatTime(one.takenAt, now),
    String(one.generation.number),
    formatSize(one.sizeBytes),
    one.over ? 'changes' : 'whole',
    one.root.slice(0, HASH_DIGITS),
    one.generation.note
  ])
  return table(['NUMBER', 'TIME', 'GENERATION', 'DISK', 'KIND', 'SHA-256', 'NOTE'], rows)
}

const HASH_DIGITS = 12

/** What a state directory has to say concerns the next start of its server. */
const SILENT: Logger = { error: () => undefined, warn: () => undefined, info: () => undefined, debug: () => undefined }
