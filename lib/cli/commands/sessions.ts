import { formatDuration, formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { findServer, withPlace } from '../find-server.js'
import { table } from '../table.js'
import { WHERE } from './status.js'

/** Who is logged in to a running server. */
export const sessions: Command = {
  usage: 'sessions [where]',
  about: 'Show who is logged in to a running server',
  examples: [
    ['cloudx sessions', 'Of the server that runs in this folder'],
    ['cloudx sessions ./share.img --json', 'Of the server that shares this image, for a program']
  ],
  options: (yargs) => withJson(withPlace(yargs.positional('where', { type: 'string', describe: WHERE }))),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const answer = await client.sessions()
    if (asJson(args)) {
      print(context.stdout, JSON.stringify(answer, undefined, 2))
      return 0
    }
    const rows = answer.sessions.map((one) => [
      one.initiatorName,
      one.targetName ?? '(discovery)',
      one.remoteAddress,
      formatDuration(one.ageMs),
      formatSize(one.dataInBytes),
      formatSize(one.dataOutBytes)
    ])
    if (rows.length === 0) print(context.stdout, 'Nobody is logged in.')
    else
      table(['INITIATOR', 'TARGET', 'FROM', 'FOR', 'READ', 'WROTE'], rows).forEach((line) =>
        print(context.stdout, line)
      )
    return 0
  }
}
