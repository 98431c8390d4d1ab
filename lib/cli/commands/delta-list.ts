import type { DeltasAnswer } from '../../admin/client.js'
import type { Keeping } from '../../target/policy.js'
import { formatDuration, formatSize, formatTime } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer, withPlace } from '../find-server.js'
import { table } from '../table.js'
import { WHERE } from './status.js'

/** Deltas in use, those that wait for their client, and those in the bin. */
export const deltaList: Command = {
  usage: 'list [where]',
  about: 'Show the deltas of all clients, and what was dropped and can be had back',
  examples: [
    ['cloudx delta list', 'Of the server that runs in this folder'],
    ['cloudx delta list ./share.img --json', 'Of the server that shares this image, for a program']
  ],
  options: (yargs) => withJson(withPlace(yargs.positional('where', { type: 'string', describe: WHERE }))),

  async run(args, context) {
    const { client } = await findServer(args, context)
    tell(args, context, await client.deltas(), (answer) => describe(answer, Date.now()))
    return 0
  }
}

/** What ends a delta, for people. */
export const KEEPINGS: Readonly<Record<Keeping, string>> = {
  logout: 'dropped at its logout',
  boot: 'dropped when it boots by iPXE',
  manual: 'kept until it is dropped by order',
  kept: 'kept until it is dropped by order',
  author: 'kept until it is published or dropped'
}

function describe({ initiators, bin }: DeltasAnswer, now: number): string[] {
  const live = initiators.flatMap(({ initiatorName, targetName, sessions, graceLeftMs, end, marked, units }) =>
    units
      .filter(({ stored }) => stored)
      .map(({ lun, bytes, keeping }) => [
        initiatorName,
        targetName,
        String(lun),
        bytes === undefined ? '?' : formatSize(bytes),
        (sessions > 0 ? `in use; ${KEEPINGS[keeping]}` : waiting(keeping, graceLeftMs, end ?? 'the server ended')) +
          (marked ? '; to begin anew at its next login' : '')
      ])
  )
  const dropped = bin.map((entry) => [
    entry.initiatorName,
    entry.targetName,
    String(entry.lun),
    formatSize(entry.bytes),
    formatTime(entry.binnedAt, now),
    entry.reason,
    formatDuration(entry.leftMs),
    entry.undoable ? 'yes' : 'no'
  ])
  return [
    ...(live.length === 0 ? ['No client has a delta.'] : table(['INITIATOR', 'TARGET', 'LUN', 'SIZE', 'STATE'], live)),
    '',
    ...(dropped.length === 0
      ? ['The bin is empty.']
      : table(['IN THE BIN', 'TARGET', 'LUN', 'SIZE', 'SINCE', 'WHY', 'KEPT FOR', 'UNDO'], dropped))
  ]
}

function waiting(keeping: Keeping, graceLeftMs: number | undefined, end: string): string {
  const endless = keeping !== 'logout' && keeping !== 'boot'
  if (endless) return `${KEEPINGS[keeping]} (${end})`
  return `waits for its client${graceLeftMs === undefined ? '' : `, ${formatDuration(graceLeftMs)} more`} (${end})`
}
