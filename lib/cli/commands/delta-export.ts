import { resolve } from 'node:path'
import { formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { COPY_FORMATS, formatOf, needQemuImg, writeCopy, writeQcow2 } from '../copy-file.js'
import { findServer, withPlace } from '../find-server.js'
import { single } from '../options.js'
import { Progress } from '../progress.js'
import { whoami } from '../whoami.js'
import { INITIATOR, lunOf, withLun, withTarget } from './delta-options.js'
import { WHERE } from './status.js'

/** A client's disk as a file. */
export const deltaExport: Command = {
  usage: 'export <initiator> <file> [where]',
  about: "Copy a client's disk, as it sees it, into a file",
  examples: [
    ['cloudx delta export iqn.1991-05.com.microsoft:pc-07 pc-07.img', 'A raw image, sparse'],
    ['cloudx delta export iqn.1991-05.com.microsoft:pc-07 pc-07.qcow2', 'A qcow2 file, by qemu-img'],
    ['cloudx delta export iqn.1991-05.com.microsoft:pc-07 pc-07.img --bin', 'What its last restore dropped']
  ],
  options: (yargs) =>
    withJson(
      withPlace(
        withLun(
          withTarget(
            yargs
              .positional('initiator', { type: 'string', describe: INITIATOR })
              .positional('file', { type: 'string', describe: 'The file to make; nothing may have this name yet' })
              .positional('where', { type: 'string', describe: WHERE })
              .option('format', { choices: COPY_FORMATS, describe: 'That of the file name when absent' })
              .option('bin', { type: 'boolean', describe: 'What its last restore dropped, from the bin' })
              .option('live', { type: 'boolean', describe: 'Also while it is logged in, as if its power was cut' })
          )
        )
      )
    ),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const format = COPY_FORMATS.find((one) => one === args.format) ?? formatOf(file)
    if (format === 'qcow2') await needQemuImg()
    const { client } = await findServer(args, context)
    const parts = client.exportDelta({
      initiator: String(args.initiator),
      target: single(args, 'target'),
      lun: lunOf(args),
      bin: args.bin === true,
      live: args.live === true,
      by: whoami(context.environment)
    })
    const progress = new Progress(context.stderr)
    const update = (done: number, total: number) => progress.update(done, total)
    const bytes = await (format === 'qcow2' ? writeQcow2 : writeCopy)(parts, file, update).finally(() => progress.end())
    if (asJson(args)) print(context.stdout, JSON.stringify({ file, format, bytes }, undefined, 2))
    else print(context.stdout, `${file}: ${formatSize(bytes)}, ${format}.`)
    return 0
  }
}
