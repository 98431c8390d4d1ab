import { ConfigError } from '../../target/config.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { chosenImage, imageOf, withImage } from '../image-place.js'
import { agreeToDrop, describePush, followPush, pushOf, withPush } from '../push.js'

/** Asks who is on an older generation to log in again. */
export const imagePush: Command = {
  usage: 'push [where]',
  about: 'Ask clients on older generations to log in again, those that wrote nothing first; who wrote something stays',
  examples: [
    ['cloudx image push ./share.img', 'Now, as publish --push does'],
    ['cloudx image push --at 19:00', 'At seven in the evening; the server remembers it'],
    ['cloudx image push --cancel', 'Take back what was planned'],
    ['cloudx image push --drop-deltas', 'Also those that wrote something: they lose that']
  ],
  options: (yargs) =>
    withPush(withJson(withImage(yargs))).option('cancel', { type: 'boolean', describe: 'Take back what was planned' }),

  async run(args, context) {
    const order = pushOf(args, Date.now())
    if (args.cancel === true && (order.at !== undefined || order.dropDeltas)) {
      throw new ConfigError(['--cancel takes back what was planned; it goes with no other option'])
    }
    const { client } = await findServer(args, context)
    const named = await imageOf(args, context)
    if (args.cancel === true) {
      const { image } = await client.cancelPush({ image: named })
      tell(args, context, image, () => ['Nobody is asked to log in again.'])
      return 0
    }
    if (order.dropDeltas) await agreeToDrop(chosenImage((await client.images()).images, named), args, context)
    const { image: begun } = await client.push({ image: named, ...order })
    const image = await followPush(client, begun, context)
    tell(args, context, image, ({ push }) => describePush(push, Date.now()))
    return 0
  }
}
