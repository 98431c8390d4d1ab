import { resolve } from 'node:path'
import { giveNewIdentity, refuseShared, type NewIdentity } from '../../target/creation/new-identity.js'
import { tell, withJson, type Command } from '../command.js'
import { agree } from '../consent.js'
import { single } from '../options.js'

/** Gives a copy of an image an identity of its own. Needs no server. */
export const imageNewId: Command = {
  usage: 'new-id <file>',
  about: 'Give a copy of an image an identity of its own, so that a PC can have both; refused for one that is shared',
  examples: [
    ['cloudx image export copy.img ./share.img', 'A copy first'],
    ['cloudx image new-id copy.img --yes', 'Then the copy gets new GUIDs (GPT), or a new signature (MBR)']
  ],
  options: (yargs) =>
    withJson(yargs.positional('file', { type: 'string', describe: 'The copy, a raw image that nobody shares' }))
      .option('state-dir', {
        nargs: 1,
        requiresArg: true,
        describe: 'The state directory of your server, when it is not beside its images: is the image known there?'
      })
      .option('yes', { type: 'boolean', describe: 'It was never shared: do it without a question' }),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const named = single(args, 'state-dir')
    const state = named === undefined ? undefined : resolve(context.directory, named)
    await refuseShared(file, state)
    if (state === undefined) await agree(questionAbout(file), 'Nothing was changed.', args, context)
    const identity = await giveNewIdentity(file, state)
    tell(args, context, { file, ...identity }, () => describe(file, identity))
    return 0
  }
}

/** Only whoever shared it knows of a state directory that lies elsewhere. */
function questionAbout(file: string): string {
  return (
    `${file} gets a new identity. If it was ever shared with a state directory elsewhere (--state-dir names it), what ` +
    'clients wrote over it and what was published does not fit it any more and is lost.'
  )
}

function describe(file: string, { kind, before, after, partitions }: NewIdentity): string[] {
  const what = kind === 'gpt' ? 'disk GUID' : 'disk signature'
  const also =
    partitions === 0 ? '' : `, and ${partitions === 1 ? 'its partition' : `its ${partitions} partitions`} too`
  return [`${file}: ${what} ${after} instead of ${before}${also}. What is in the partitions is as it was.`]
}
