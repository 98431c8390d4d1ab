import { stat } from 'node:fs/promises'
import { join, posix, resolve, win32 } from 'node:path'
import { formatSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { writeCopy } from '../copy-file.js'
import { findServer } from '../find-server.js'
import { wholeNumber } from '../options.js'
import { withProgress } from '../progress.js'
import { lunOf, whose, withInitiator, withLun, withTarget } from './delta-options.js'

/** One file of a client's disk. */
export const deltaRescue: Command = {
  usage: 'rescue <initiator> <path> <file> [where]',
  about: "Copy one file out of a client's disk",
  examples: [
    ['cloudx delta rescue iqn.1991-05.com.microsoft:pc-07 /Users/kim/thesis.docx .', 'As the client sees it'],
    [
      'cloudx delta rescue iqn.1991-05.com.microsoft:pc-07 /Users/kim/thesis.docx . --bin',
      'As its last logout dropped it'
    ]
  ],
  options: (yargs) =>
    withJson(
      withLun(
        withTarget(
          withInitiator(yargs)
            .positional('path', { type: 'string', describe: 'Of the file on its file system, as delta show tells it' })
            .positional('file', { type: 'string', describe: 'Where to copy it: a new file, or a folder' })
        )
      )
        .option('partition', { nargs: 1, requiresArg: true, describe: 'When several partitions have such a file' })
        .option('bin', { type: 'boolean', describe: 'From what its last restore dropped' })
        .option('live', { type: 'boolean', describe: 'Also while it is logged in and may be writing' })
    ),

  async run(args, context) {
    const path = String(args.path)
    const file = await placeFor(resolve(context.directory, String(args.file)), path)
    const { client } = await findServer(args, context)
    const parts = client.rescue({
      ...whose(args, context),
      lun: lunOf(args),
      path,
      partition: wholeNumber(args, 'partition', [1, 999], 'a number from 1'),
      bin: args.bin === true,
      live: args.live === true
    })
    const bytes = await withProgress(context.stderr, (update) => writeCopy(parts, file, update))
    tell(args, context, { file, bytes }, () => [`${file}: ${formatSize(bytes)}.`])
    return 0
  }
}

/** Into a folder under its own name; that of a stream behind a colon would be none here. */
async function placeFor(file: string, path: string): Promise<string> {
  const isFolder = await stat(file).then(
    (found) => found.isDirectory(),
    () => false
  )
  return isFolder ? join(file, posix.basename(win32.basename(path)).replaceAll(':', '_')) : file
}
