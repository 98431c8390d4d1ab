import { resolve } from 'node:path'
import { withJson, type Command } from '../command.js'
import { chosenFormat, tellCopy, withCopy } from '../copy-file.js'
import { findServer } from '../find-server.js'
import { lunOf, whose, withInitiator, withLun, withTarget } from './delta-options.js'

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
      withLun(withTarget(withCopy(withInitiator(yargs))))
        .option('bin', { type: 'boolean', describe: 'What its last restore dropped, from the bin' })
        .option('live', { type: 'boolean', describe: 'Also while it is logged in, as if its power was cut' })
    ),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const format = await chosenFormat(args, file)
    const { client } = await findServer(args, context)
    const parts = client.exportDelta({
      ...whose(args, context),
      lun: lunOf(args),
      bin: args.bin === true,
      live: args.live === true
    })
    await tellCopy(args, context, parts, file, format)
    return 0
  }
}
