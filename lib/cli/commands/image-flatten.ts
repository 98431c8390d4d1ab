import { withJson, type Command } from '../command.js'
import { agree } from '../consent.js'
import { findServer } from '../find-server.js'
import { imageOf, generationOf, withImage } from '../image-place.js'
import { tellJob } from '../job.js'

/** Merges generations into the raw file. */
export const imageFlatten: Command = {
  usage: 'flatten [where]',
  about: 'Merge generations that nobody needs singly into the raw file; ends roll-back to what lies below',
  examples: [
    ['cloudx image flatten ./share.img', 'As far as nobody uses what lies below'],
    ['cloudx image flatten --to 5 --yes', 'Up to generation 5, without a question']
  ],
  options: (yargs) =>
    withJson(withImage(yargs))
      .option('to', { nargs: 1, requiresArg: true, describe: 'The generation that the raw file holds then' })
      .option('yes', { type: 'boolean', describe: 'Do not ask' }),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const to = generationOf(args, 'to')
    const what = to === undefined ? 'the generations that are merged' : `generation ${to}`
    const question = `Nobody can roll back below ${what} any more.`
    await agree(question, 'Nothing was merged.', args, context)
    const { job } = await client.flatten({ image: await imageOf(args, context), to })
    await tellJob(client, job, args, context)
    return 0
  }
}
