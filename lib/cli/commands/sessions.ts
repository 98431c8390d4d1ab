import type { SessionsAnswer } from '../../admin/client.js'
import { formatDuration, formatSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
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
    tell(args, context, await client.sessions(), describe)
    return 0
  }
}

function describe({ sessions }: SessionsAnswer): string[] {
  if (sessions.length === 0) return ['Nobody is logged in.']
  const rows = sessions.map((one) => [
    one.initiatorName,
    one.targetName ?? '(discovery)',
    one.remoteAddress,
    formatDuration(one.ageMs),
    formatSize(one.dataInBytes),
    formatSize(one.dataOutBytes)
  ])
  return table(['INITIATOR', 'TARGET', 'FROM', 'FOR', 'READ', 'WROTE'], rows)
}
