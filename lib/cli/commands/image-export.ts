import { resolve } from 'node:path'
import { withJson, type Command } from '../command.js'
import { chosenFormat, tellCopy, withCopy } from '../copy-file.js'
import { findServer } from '../find-server.js'
import { imageOf, generationOf, withImage } from '../image-place.js'

/** A generation as a file. */
export const imageExport: Command = {
  usage: 'export <file> [where]',
  about: 'Copy a generation of an image into a file, raw or qcow2',
  examples: [
    ['cloudx image export monday.img ./share.img', 'The current generation, as a sparse raw image'],
    ['cloudx image export seven.qcow2 --generation 7', 'Generation 7 as qcow2, by qemu-img']
  ],
  options: (yargs) =>
    withJson(withImage(withCopy(yargs))).option('generation', {
      nargs: 1,
      requiresArg: true,
      describe: 'Its number; without it the current one'
    }),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const format = await chosenFormat(args, file)
    const { client } = await findServer(args, context)
    const generation = generationOf(args, 'generation')
    const parts = client.exportImage({ image: await imageOf(args, context), generation })
    await tellCopy(args, context, parts, file, format)
    return 0
  }
}
