import { formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { findServer, withPlace } from '../find-server.js'
import { single } from '../options.js'
import { whoami } from '../whoami.js'
import { INITIATOR, lunOf, withLun, withTarget } from './delta-options.js'
import { WHERE } from './status.js'

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
      withPlace(
        withLun(
          withTarget(
            yargs
              .positional('initiator', { type: 'string', describe: INITIATOR })
              .positional('where', { type: 'string', describe: WHERE })
              .option('at-next-login', {
                type: 'boolean',
                describe: 'Not now: when it logs in after a logout, or boots by iPXE; a reconnect drops nothing'
              })
              .option('disconnect', {
                type: 'boolean',
                describe: 'End its session first; it gets another disk under its mounted file system'
              })
          )
        )
      )
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const dropped = await client.drop({
      initiator: String(args.initiator),
      target: single(args, 'target'),
      lun: lunOf(args),
      disconnect: args.disconnect === true,
      atNextLogin: args['at-next-login'] === true,
      by: whoami(context.environment)
    })
    const { initiatorName, targetName, bytes, atNextLogin } = dropped
    if (asJson(args)) print(context.stdout, JSON.stringify(dropped, undefined, 2))
    else if (atNextLogin) print(context.stdout, `${initiatorName} begins anew at ${targetName} when it next logs in.`)
    else print(context.stdout, `${formatSize(bytes)} of ${initiatorName} at ${targetName} are dropped.`)
    return 0
  }
}
