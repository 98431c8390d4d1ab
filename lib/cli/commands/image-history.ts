import type { ImageView } from '../../target/control.js'
import { formatSize, formatTime } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { askedImage, withImage } from '../image-place.js'
import { table } from '../table.js'

/** The generations of an image, the newest first. */
export const imageHistory: Command = {
  usage: 'history [where]',
  about: 'Show the generations of an image: when, by whom, how large, and who uses them',
  examples: [
    ['cloudx image history', 'Of the one image of the server that runs in this folder'],
    ['cloudx image history ./share.img --json', 'For a program']
  ],
  options: (yargs) => withJson(withImage(yargs)),

  async run(args, context) {
    tell(args, context, await askedImage(args, context), (image) => describeHistory(image, Date.now()))
    return 0
  }
}

/** @param now - wall clock, ms since 1970 */
export function describeHistory({ generations, current, raw, tests }: ImageView, now: number): string[] {
  const rows = [...generations].reverse().map((one) => {
    const testers = tests.filter(({ generation }) => generation === one.number).map(({ match }) => match)
    const state = [
      ...(one.number === current ? ['current'] : []),
      ...(one.number === raw ? ['raw file'] : []),
      ...(testers.length > 0 ? [`tested by ${testers.join(', ')}`] : []),
      ...(one.available ? [] : ['merged'])
    ]
    return [
      String(one.number),
      one.parent === undefined ? '' : String(one.parent),
      formatTime(one.time, now),
      formatSize(one.size),
      one.layerBytes === undefined ? '' : formatSize(one.layerBytes),
      String(one.users.filter(({ kind }) => kind === 'session').length),
      String(one.users.filter(({ kind }) => kind !== 'session').length),
      one.hash?.slice(0, HASH_DIGITS) ?? '',
      state.join(', '),
      [one.author, one.note].filter((text) => text !== '').join(': ')
    ]
  })
  return table(['NUMBER', 'OVER', 'TIME', 'DISK', 'LAYER', 'SESSIONS', 'KEPT', 'SHA-256', 'STATE', 'BY'], rows)
}

const HASH_DIGITS = 12
