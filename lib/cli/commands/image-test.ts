import type { ImageView } from '../../target/control.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, generationOf, withImage } from '../image-place.js'
import { textsOf } from '../options.js'

/** Says who tries a generation before all others get it. */
export const imageTest: Command = {
  usage: 'test [where]',
  about: 'Give named initiators another generation than the current one, or end that',
  examples: [
    ['cloudx image test --generation 7 --initiator iqn.2025-01.org.example:pc-01', 'This one gets 7 at its next login'],
    ['cloudx image test --initiator iqn.2025-01.org.example:pc-01', 'It gets the current generation again'],
    ['cloudx image test', 'So do all']
  ],
  options: (yargs) =>
    withJson(withImage(yargs))
      .option('initiator', {
        nargs: 1,
        requiresArg: true,
        describe: 'An initiator (repeatable): a name, with * at the end as wild card'
      })
      .option('generation', { nargs: 1, requiresArg: true, describe: 'What it gets; without it the current one' }),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const { image } = await client.test({
      image: await imageOf(args, context),
      initiators: textsOf(args.initiator),
      generation: generationOf(args, 'generation')
    })
    tell(args, context, image, describe)
    return 0
  }
}

function describe({ tests, current }: ImageView): string[] {
  if (tests.length === 0) return [`All new logins get generation ${current}.`]
  return tests.map(({ match, generation }) => `${match} gets generation ${generation}.`)
}
