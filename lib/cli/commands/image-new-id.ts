import { resolve } from 'node:path'
import { giveNewIdentity, type NewIdentity } from '../../target/creation/new-identity.js'
import { tell, withJson, type Command } from '../command.js'

/** Gives a copy of an image an identity of its own. Needs no server. */
export const imageNewId: Command = {
  usage: 'new-id <file>',
  about: 'Give a copy of an image an identity of its own, so that a PC can have both; refused for one that is shared',
  examples: [
    ['cloudx image export copy.img ./share.img', 'A copy first'],
    ['cloudx image new-id copy.img', 'Then the copy gets new GUIDs (GPT), or a new signature (MBR)']
  ],
  options: (yargs) =>
    withJson(yargs.positional('file', { type: 'string', describe: 'The copy, a raw image that nobody shares' })),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const identity = await giveNewIdentity(file)
    tell(args, context, { file, ...identity }, () => describe(file, identity))
    return 0
  }
}

function describe(file: string, { kind, before, after, partitions }: NewIdentity): string[] {
  const what = kind === 'gpt' ? 'disk GUID' : 'disk signature'
  const also =
    partitions === 0 ? '' : `, and ${partitions === 1 ? 'its partition' : `its ${partitions} partitions`} too`
  return [`${file}: ${what} ${after} instead of ${before}${also}. What is in the partitions is as it was.`]
}
