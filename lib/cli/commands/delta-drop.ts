import { formatSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { lunOf, whose, withInitiator, withLun, withTarget } from './delta-options.js'

/** Restores a client by order, now or when it logs in. */
export const deltaDrop: Command = {
  usage: 'drop <initiator> [where]',
  about: 'Drop what a client has written, now or at its next login',
  examples: [
    ['cloudx delta drop iqn.1991-05.com.microsoft:pc-07', 'A client that is not logged in begins anew'],
    ['cloudx delta drop iqn.1991-05.com.microsoft:pc-07 --at-next-login', 'When it comes after a logout or a boot'],
    ['cloudx delta drop iqn.1991-05.com.microsoft:pc-07 --unit 1', 'Its disk of LUN 1, also one that is kept']
  ],
  options: (yargs) =>
    withJson(
      withLun(withTarget(withInitiator(yargs)))
        .option('at-next-login', {
          type: 'boolean',
          describe: 'Not now: when it logs in after a logout, or boots by iPXE; a reconnect drops nothing'
        })
        .option('disconnect', {
          type: 'boolean',
          describe: 'End its session first; it gets another disk under its mounted file system'
        })
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const dropped = await client.drop({
      ...whose(args, context),
      lun: lunOf(args),
      disconnect: args.disconnect === true,
      atNextLogin: args['at-next-login'] === true
    })
    tell(args, context, dropped, ({ initiatorName, targetName, bytes, atNextLogin }) => [
      atNextLogin
        ? `${initiatorName} begins anew at ${targetName} when it next logs in.`
        : `${formatSize(bytes)} of ${initiatorName} at ${targetName} are dropped.`
    ])
    return 0
  }
}
