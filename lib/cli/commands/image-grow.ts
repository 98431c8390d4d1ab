import { ConfigError } from '../../target/config.js'
import type { ImageView } from '../../target/control.js'
import { formatSize, parseSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, withImage } from '../image-place.js'

/** Makes the disk larger, for who is there and for who comes. */
export const imageGrow: Command = {
  usage: 'grow <size> [where]',
  about: 'Make the disk larger, also for sessions that see the current generation',
  examples: [
    ['cloudx image grow 100G ./share.img', 'From then on it has 100 GiB; partitions stay as they are'],
    ['cloudx image grow 1T', 'Of the one image of the server that runs in this folder']
  ],
  options: (yargs) =>
    withJson(withImage(yargs.positional('size', { type: 'string', describe: 'The whole size then, such as 100G' }))),

  async run(args, context) {
    const sizeBytes = parseSize(String(args.size))
    if (sizeBytes === undefined) throw new ConfigError([`"${String(args.size)}" must be a size such as 100G`])
    const { client } = await findServer(args, context)
    const { image } = await client.grow({ image: await imageOf(args, context), sizeBytes })
    tell(args, context, image, describe)
    return 0
  }
}

function describe({ current, generations }: ImageView): string[] {
  const { size, users } = generations.find(({ number }) => number === current)!
  const others = generations.filter(({ number }) => number !== current).flatMap((one) => one.users)
  const sessions = others.filter(({ kind }) => kind === 'session').map(({ initiatorName }) => initiatorName)
  const here = users.filter(({ kind }) => kind === 'session').length
  return [
    `New logins get generation ${current}, a disk of ${formatSize(size)}.`,
    ...(here === 0
      ? []
      : [`Already logged in and told of the new size: ${here}. Their systems may have to look for it.`]),
    ...(sessions.length === 0 ? [] : [`On an older generation, so they keep its size: ${sessions.join(', ')}.`])
  ]
}
