import { formatDuration, formatSize, formatTime } from '../../util/units.js'
import type { FoundServer } from '../find-server.js'
import { findServer, withPlace } from '../find-server.js'
import { tell, withJson, type Command } from '../command.js'
import { plain } from '../../util/plain.js'
import { describePush } from '../push.js'
import { table } from '../table.js'

/** What a running server shares, to how many, and how much room is left. */
export const status: Command = {
  usage: 'status [where]',
  about: 'Show what a running server shares, and how much room is left',
  examples: [
    ['cloudx status', 'The server that runs in this folder'],
    ['cloudx status ./share.img --json', 'The server that shares this image, for a program']
  ],
  options: (yargs) => withJson(withPlace(yargs.positional('where', { type: 'string', describe: WHERE }))),

  async run(args, context) {
    const found = await findServer(args, context)
    tell(args, context, found.status, (status) => describe(status, Date.now()))
    return 0
  }
}

/** For the positional that all commands to a running server take. */
export const WHERE =
  'The image, state directory or configuration file of the server; without it, the one of this folder'

function describe(status: FoundServer['status'], now: number): string[] {
  const places = status.portals.map(({ address, port }) =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  )
  const rows = status.targets.flatMap(({ name, units }) =>
    units.map(({ lun, path, partition, size, readOnly, author }) => [
      name,
      String(lun),
      formatSize(size),
      path + (partition === undefined ? '' : `, partition ${partition}`),
      [...(readOnly ? ['read-only'] : []), ...(author === undefined ? [] : [`written by ${author}`])].join(', ')
    ])
  )
  return [
    `Cloud-x ${status.version}, process ${status.pid}, since ${formatTime(status.startedAt, now)} ` +
      `(${formatDuration(Math.max(0, now - status.startedAt))}), on ${places.length > 0 ? places.join(', ') : 'no address yet'}`,
    `${count(status.sessionCount, 'session')}, ${count(status.deltaCount, 'delta')}, ` +
      `${count(status.bin.count, 'dropped delta')} in the bin (${formatSize(status.bin.bytes)})`,
    ...status.space.map(describeSpace),
    `Finding what deltas hold takes ${formatSize(status.mapBytes)} of memory.`,
    describeRetention(status),
    ...status.pushes.flatMap((push) => describePush(push, now).map((line) => plain(`${push.path}: ${line}`))),
    '',
    ...table(['TARGET', 'LUN', 'SIZE', 'IMAGE', ''], rows)
  ]
}

function describeSpace({ path, usedBytes, limitBytes }: FoundServer['status']['space'][number]): string {
  const room =
    limitBytes === undefined
      ? 'the file system does not say how much is free'
      : `${formatSize(Math.max(0, limitBytes - usedBytes))} left`
  return plain(`Deltas take ${formatSize(usedBytes)}, ${room}: ${path}`)
}

function describeRetention({ undoMs, lostMs, shred }: FoundServer['status']): string {
  if (shred) return 'Deltas are encrypted, and their keys are destroyed when they are dropped.'
  const dropped = undoMs === 0 ? 'Dropped deltas are deleted' : `Dropped deltas are kept for ${formatDuration(undoMs)}`
  return `${dropped}, lost ones for ${formatDuration(lostMs)}.`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
