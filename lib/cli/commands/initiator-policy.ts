import type { PoliciesAnswer } from '../../admin/client.js'
import { POLICIES, RESTORE_ON, type Policy, type RestoreOn } from '../../target/policy.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer, withPlace } from '../find-server.js'
import { single } from '../options.js'
import { table } from '../table.js'
import { whoami } from '../whoami.js'
import { lunOf, withLun } from './delta-options.js'
import { WHERE } from './status.js'

/** Shows or changes what becomes of the writes of clients. */
export const initiatorPolicy: Command = {
  usage: 'policy [initiator] [policy]',
  about: 'Show or set what becomes of the writes of a client, or of all whose names begin so',
  examples: [
    ['cloudx initiator policy', 'What holds for whom'],
    [
      'cloudx initiator policy iqn.1991-05.com.microsoft:pc-07 keep',
      'Keep what it writes, until it is dropped by order'
    ],
    ["cloudx initiator policy 'iqn.1991-05.com.microsoft:pc-*' restore --restore-on boot", 'Restore at a boot by iPXE'],
    ['cloudx initiator policy iqn.1991-05.com.microsoft:pc-07 --remove', 'What the configuration says holds again']
  ],
  options: (yargs) =>
    withJson(
      withPlace(
        withLun(
          yargs
            .positional('initiator', { type: 'string', describe: 'A name, or the beginning of names with * behind it' })
            .positional('policy', { type: 'string', choices: POLICIES, describe: 'What becomes of its writes' })
            .option('restore-on', { choices: RESTORE_ON, describe: 'When they are dropped' })
            .option('target', { nargs: 1, requiresArg: true, describe: 'At this target alone' })
            .option('remove', { type: 'boolean', describe: 'Take back what was set by this command' })
            .option('where', { nargs: 1, requiresArg: true, describe: WHERE })
        )
      )
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const match = typeof args.initiator === 'string' ? args.initiator : undefined
    const policy = args.policy as Policy | undefined
    const restoreOn = args['restore-on'] as RestoreOn | undefined
    const changes = policy !== undefined || restoreOn !== undefined || args.remove === true
    const answer =
      match === undefined || !changes
        ? await client.policies()
        : await client.setPolicy({
            match,
            target: single(args, 'target'),
            lun: lunOf(args),
            policy,
            restoreOn,
            remove: args.remove === true,
            by: whoami(context.environment)
          })
    tell(args, context, answer, describe)
    return 0
  }
}

function describe({ targets }: PoliciesAnswer): string[] {
  return targets.flatMap(({ targetName, ordered, configured, units }, index) => {
    const rows = [
      ...ordered.map((rule) => [rule.match, ...wordsOf(rule), 'by command']),
      ...configured.map((rule) => [rule.match, ...wordsOf(rule), 'configuration']),
      ...units.map(({ lun, personal, restoreOn }) => [
        'all others',
        personal ? 'keep' : 'restore',
        personal ? '' : restoreOn,
        String(lun),
        personal ? 'personal' : 'unit'
      ])
    ]
    return [
      ...(index > 0 ? [''] : []),
      `${targetName} (the first line that fits counts):`,
      ...table(['INITIATOR', 'POLICY', 'RESTORE ON', 'LUN', 'FROM'], rows)
    ]
  })
}

function wordsOf({ policy, restoreOn, lun }: PoliciesAnswer['targets'][number]['ordered'][number]): string[] {
  return [policy ?? '', restoreOn ?? '', lun === undefined ? 'all' : String(lun)]
}
