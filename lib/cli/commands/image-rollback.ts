import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, generationOf, withImage } from '../image-place.js'

/** Chooses an older generation for new logins. */
export const imageRollback: Command = {
  usage: 'rollback [where]',
  about: 'Give new logins an older generation; running sessions stay on theirs',
  examples: [
    ['cloudx image rollback ./share.img', 'The one that the current generation was made from'],
    ['cloudx image rollback --to 3', 'Generation 3 of the one image of the server in this folder']
  ],
  options: (yargs) =>
    withJson(withImage(yargs)).option('to', {
      nargs: 1,
      requiresArg: true,
      describe: 'The generation that new logins get; without it the one before'
    }),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const { image } = await client.rollback({ image: await imageOf(args, context), to: generationOf(args, 'to') })
    tell(args, context, image, ({ current }) => [
      `New logins get generation ${current}. Running sessions stay on theirs.`
    ])
    return 0
  }
}
