import type { UndoAnswer } from '../../admin/client.js'
import { formatSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { whose, withInitiator, withTarget } from './delta-options.js'

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
      withTarget(withInitiator(yargs)).option('discard', {
        type: 'boolean',
        describe: 'Give up what the client wrote since, or may have mounted still'
      })
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const undone = await client.undo({
      ...whose(args, context),
      discard: args.discard === true
    })
    tell(args, context, undone, describe)
    return 0
  }
}

function describe({ initiatorName, targetName, bytes, discardedBytes, renewed }: UndoAnswer): string[] {
  return [
    `${initiatorName} finds ${formatSize(bytes)} again at its next login to ${targetName}.`,
    ...(discardedBytes > 0 ? [`${formatSize(discardedBytes)} that it had written since lie in the bin now.`] : []),
    ...(renewed ? ['It gets a new disk identity, since it had not logged out.'] : [])
  ]
}
