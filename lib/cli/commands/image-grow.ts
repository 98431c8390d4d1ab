import { ConfigError } from '../../target/config.js'
import { formatSize, parseSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, withImage } from '../image-place.js'

/** Makes the disk larger for those who log in from then on. */
export const imageGrow: Command = {
  usage: 'grow <size> [where]',
  about: 'Make the disk larger: running sessions keep its size, new logins get the larger one',
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
    tell(args, context, image, ({ current }) => [
      `New logins get generation ${current}, a disk of ${formatSize(sizeBytes)}.`
    ])
    return 0
  }
}
