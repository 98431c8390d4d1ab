import { formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, numberOf, withImage } from '../image-place.js'
import { single, textsOf } from '../options.js'

/** Makes what an author wrote the generation that new logins get. */
export const imagePublish: Command = {
  usage: 'publish [where]',
  about: 'Make what an author wrote the next generation: running sessions stay, new logins get it',
  examples: [
    ['cloudx image publish ./share.img --note "new player"', 'What the one author wrote'],
    ['cloudx image publish --author iqn.2025-01.org.example:studio', 'What this one wrote, when several have'],
    ['cloudx image publish --test "iqn.2025-01.org.example:pc-0*"', 'Only for these, until it is published for all'],
    ['cloudx image publish --generation 7', 'A generation that was tested, or given up by a roll-back']
  ],
  options: (yargs) =>
    withJson(withImage(yargs))
      .option('author', { nargs: 1, requiresArg: true, describe: 'The initiator whose writes are published' })
      .option('note', { nargs: 1, requiresArg: true, describe: 'What is new, for the history' })
      .option('test', {
        nargs: 1,
        requiresArg: true,
        describe: 'Only these initiators get it (repeatable): a name, with * at the end as wild card'
      })
      .option('generation', {
        nargs: 1,
        requiresArg: true,
        describe: 'Publish this generation, which there is already'
      })
      .option('force', {
        type: 'boolean',
        describe: 'Also while its author is logged in, which ends its session, or over an older generation'
      }),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const generation = numberOf(args, 'generation')
    const test = textsOf(args.test)
    const { image } = await client.publish({
      image: await imageOf(args, context),
      author: single(args, 'author'),
      note: single(args, 'note'),
      force: args.force === true,
      generation,
      test
    })
    if (asJson(args)) {
      print(context.stdout, JSON.stringify(image, undefined, 2))
      return 0
    }
    const number = generation ?? image.generations.at(-1)!.number
    const made = image.generations.find((one) => one.number === number)!
    const bytes = made.layerBytes === undefined ? '' : ` (${formatSize(made.layerBytes)})`
    print(
      context.stdout,
      test.length > 0
        ? `${test.join(', ')} get generation ${number}${bytes} at the next login; all others get ${image.current}.`
        : `New logins get generation ${number}${bytes}. Running sessions stay on theirs.`
    )
    return 0
  }
}
