import type { AdminClient } from '../../admin/client.js'
import type { ImageView } from '../../target/control.js'
import { ConfigError } from '../../target/config.js'
import { formatSize } from '../../util/units.js'
import { tell, withJson, type CliContext, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { chosenImage, imageOf, generationOf, withImage } from '../image-place.js'
import { single, textsOf } from '../options.js'
import { agreeToDrop, describePush, followPush, pushOf, withPush } from '../push.js'

/** Makes what an author wrote the generation that new logins get. */
export const imagePublish: Command = {
  usage: 'publish [where]',
  about: 'Make what an author wrote the next generation: running sessions stay, new logins get it',
  examples: [
    ['cloudx image publish ./share.img --note "new player"', 'What the one author wrote'],
    ['cloudx image publish --author iqn.2025-01.org.example:studio', 'What this one wrote, when several have'],
    ['cloudx image publish --test "iqn.2025-01.org.example:pc-0*"', 'Only for these, until it is published for all'],
    ['cloudx image publish --generation 7', 'A generation that was tested, or given up by a roll-back'],
    ['cloudx image publish --push --at 19:00', 'Now for new logins; at 19:00 the others are asked to log in again']
  ],
  options: (yargs) =>
    withPush(withJson(withImage(yargs)))
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
      })
      .option('push', {
        type: 'boolean',
        describe: 'Then ask clients on older generations to log in again, those that wrote nothing first'
      }),

  async run(args, context) {
    const push = pushOf(args, Date.now())
    if (args.push !== true && (push.at !== undefined || push.dropDeltas)) {
      throw new ConfigError(['--at and --drop-deltas say how --push is done; add --push'])
    }
    const { client } = await findServer(args, context)
    const generation = generationOf(args, 'generation')
    const test = textsOf(args.test)
    const named = await imageOf(args, context)
    if (push.dropDeltas) await agreeToDrop(chosenImage((await client.images()).images, named), args, context)
    const { image: published } = await client.publish({
      image: named,
      author: single(args, 'author'),
      note: single(args, 'note'),
      force: args.force === true,
      generation,
      test
    })
    const image = args.push === true ? await pushed(client, published, push, context) : published
    tell(args, context, image, () => [
      describePublished(image, generation, test, args.push === true),
      ...(args.push === true ? describePush(image.push, Date.now()) : [])
    ])
    return 0
  }
}

function describePublished(
  image: ImageView,
  generation: number | undefined,
  test: readonly string[],
  push: boolean
): string {
  const number = generation ?? image.generations.at(-1)!.number
  const made = image.generations.find((one) => one.number === number)!
  const bytes = made.layerBytes === undefined ? '' : ` (${formatSize(made.layerBytes)})`
  if (test.length > 0) {
    return `${test.join(', ')} get generation ${number}${bytes} at the next login; all others get ${image.current}.`
  }
  return `New logins get generation ${number}${bytes}.${push ? '' : ' Running sessions stay on theirs.'}`
}

async function pushed(
  client: AdminClient,
  { uuid }: ImageView,
  order: ReturnType<typeof pushOf>,
  context: CliContext
): Promise<ImageView> {
  const { image } = await client.push({ image: uuid, ...order })
  return followPush(client, image, context)
}
