import { withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { imageOf, generationOf, withImage } from '../image-place.js'
import { tellJob } from '../job.js'

/** Proves that a generation is what it was. */
export const imageVerify: Command = {
  usage: 'verify [where]',
  about: 'Hold a generation against the SHA-256 that was noted of it, or note one',
  examples: [
    ['cloudx image verify ./share.img', 'The current generation; the first time its hash is noted'],
    ['cloudx image verify --generation 3', 'Generation 3 of the one image of the server in this folder']
  ],
  options: (yargs) =>
    withJson(withImage(yargs)).option('generation', {
      nargs: 1,
      requiresArg: true,
      describe: 'Its number; without it the current one'
    }),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const generation = generationOf(args, 'generation')
    const { job } = await client.verify({ image: await imageOf(args, context), generation })
    await tellJob(client, job, args, context)
    return 0
  }
}
