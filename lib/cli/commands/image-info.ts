import type { ImageView } from '../../target/control.js'
import { formatSize, formatTime } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { askedImage, withImage } from '../image-place.js'
import { describePush } from '../push.js'
import { table } from '../table.js'

/** An image at a glance: its current generation, who is on which, and what waits to be published. */
export const imageInfo: Command = {
  usage: 'info [where]',
  about: 'Show the current generation of an image, who is on which, and what waits to be published',
  examples: [
    ['cloudx image info', 'Of the one image of the server that runs in this folder'],
    ['cloudx image info ./share.img --json', 'For a program']
  ],
  options: (yargs) => withJson(withImage(yargs)),

  async run(args, context) {
    tell(args, context, await askedImage(args, context), (image) => describe(image, Date.now()))
    return 0
  }
}

function describe(image: ImageView, now: number): string[] {
  const { path, uuid, current, raw, generations, drafts, trouble, flattening } = image
  const newest = generations.find(({ number }) => number === current)!
  const available = generations.filter((one) => one.available)
  return [
    `${path} (${uuid})`,
    `New logins get generation ${current} of ${formatTime(newest.time, now)}, ${formatSize(newest.size)}` +
      (newest.note === '' ? '' : `: ${newest.note}`),
    `The raw file holds generation ${raw}; ${available.length} can be chosen: ` +
      available.map(({ number }) => number).join(', '),
    ...(flattening === undefined ? [] : [`Generation ${flattening} is being merged into the raw file.`]),
    ...(trouble === undefined ? [] : [`Nobody may log in: ${trouble}`]),
    ...describeDrafts(drafts),
    ...describePush(image.push, now),
    ...describeUsers(image)
  ]
}

function describeDrafts(drafts: ImageView['drafts']): string[] {
  return drafts.map(
    ({ initiatorName, bytes, generation, live }) =>
      `${initiatorName} wrote ${formatSize(bytes)} over generation ${generation ?? '?'}, not published` +
      (live ? ', and is logged in' : '')
  )
}

/** Who is on which generation; the same order publishes to them. */
export function describeUsers({ generations }: ImageView): string[] {
  const rows = generations.flatMap(({ number, users }) =>
    users.map(({ initiatorName, targetName, kind, bytes }) => [
      String(number),
      initiatorName,
      targetName,
      USES[kind],
      formatSize(bytes)
    ])
  )
  return rows.length === 0 ? [] : ['', ...table(['GENERATION', 'INITIATOR', 'TARGET', 'STATE', 'WROTE'], rows)]
}

const USES = { session: 'logged in', kept: 'kept for it', bin: 'in the bin' } as const
