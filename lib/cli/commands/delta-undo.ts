import { formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { findServer, withPlace } from '../find-server.js'
import { single } from '../options.js'
import { whoami } from '../whoami.js'
import { WHERE } from './status.js'

/** Takes the restore of a client's last logout back. */
export const deltaUndo: Command = {
  usage: 'undo <initiator> [where]',
  about: 'Give a client back, at its next login, what its last logout dropped',
  examples: [
    ['cloudx delta undo iqn.1991-05.com.microsoft:pc-07', 'At the server that runs in this folder'],
    ['cloudx delta undo iqn.1991-05.com.microsoft:pc-07 ./share.img', 'At the server that shares this image'],
    ['cloudx delta undo iqn.1991-05.com.microsoft:pc-07 --discard', 'Also give up what it has written since']
  ],
  options: (yargs) =>
    withJson(
      withPlace(
        yargs
          .positional('initiator', { type: 'string', describe: 'The iSCSI name of the client, as the log shows it' })
          .positional('where', { type: 'string', describe: WHERE })
          .option('target', {
            nargs: 1,
            requiresArg: true,
            describe: 'The target, when the client left something at several'
          })
          .option('discard', {
            type: 'boolean',
            describe: 'Give up what the client wrote since, or may have mounted still'
          })
      )
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const undone = await client.undo({
      initiator: String(args.initiator),
      target: single(args, 'target'),
      discard: args.discard === true,
      by: whoami(context.environment)
    })
    if (asJson(args)) {
      print(context.stdout, JSON.stringify(undone, undefined, 2))
      return 0
    }
    const { initiatorName, targetName, bytes, discardedBytes, renewed } = undone
    print(context.stdout, `${initiatorName} finds ${formatSize(bytes)} again at its next login to ${targetName}.`)
    if (discardedBytes > 0) {
      print(context.stdout, `${formatSize(discardedBytes)} that it had written since lie in the bin now.`)
    }
    if (renewed) print(context.stdout, 'It gets a new disk identity, since it had not logged out.')
    return 0
  }
}
