import type { ShowAnswer } from '../../admin/client.js'
import { plain } from '../../util/plain.js'
import { formatSize } from '../../util/units.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { table } from '../table.js'
import { whose, withInitiator, withTarget } from './delta-options.js'
import { KEEPINGS } from './delta-list.js'

/** Areas that a person is shown; programs get more. */
const AREAS_SHOWN = 16

/** Files that a person is shown. */
const FILES_SHOWN = 40

/** No map is called large for less. */
const SCATTERED_BYTES_MIN = 2 ** 22
/** What any map takes, however little was written: a byte for each MiB of the disk. */
const MIB_BYTES = 2 ** 20

type FileSystem = NonNullable<ShowAnswer['units'][number]['fileSystems']>[number]

/** Who filled it, and with what. */
export const deltaShow: Command = {
  usage: 'show <initiator> [where]',
  about: 'Show what a client has written: how much, how fast, and where',
  examples: [
    ['cloudx delta show iqn.1991-05.com.microsoft:pc-07', 'Of a client of the server that runs in this folder'],
    ['cloudx delta show iqn.1991-05.com.microsoft:pc-07 --no-names --json', 'Areas alone, for a program']
  ],
  options: (yargs) =>
    withJson(
      withTarget(withInitiator(yargs)).option('names', {
        type: 'boolean',
        default: true,
        describe: 'Also the names of files; who asked for them is noted in the audit log'
      })
    ),

  async run(args, context) {
    const { client } = await findServer(args, context)
    const answer = await client.show({
      ...whose(args, context),
      names: args.names === true
    })
    tell(args, context, answer, describe)
    return 0
  }
}

function describe({ initiatorName, targetName, sessions, units }: ShowAnswer): string[] {
  const state = sessions > 0 ? 'logged in' : 'not logged in'
  const head = plain(`${initiatorName} at ${targetName}, ${state}`)
  if (units.length === 0) return [`${head}: it has written nothing.`]
  return [head, ...units.flatMap(describeUnit)]
}

function describeUnit(unit: ShowAnswer['units'][number]): string[] {
  const { lun, size, bytesStored, mapBytes, changedBytes, growthBytesPerMinute, keeping, areas } = unit
  const growth = growthBytesPerMinute === undefined ? '' : `, ${signed(growthBytesPerMinute)} a minute`
  const shown = [...areas].sort((left, right) => right.changedBytes - left.changedBytes).slice(0, AREAS_SHOWN)
  shown.sort((left, right) => left.offset - right.offset)
  const rows = shown.map((area) => [
    formatSize(area.offset),
    formatSize(area.lengthBytes),
    formatSize(area.changedBytes)
  ])
  return [
    '',
    `LUN ${lun}: ${formatSize(bytesStored)} stored of a disk of ${formatSize(size)}, ${formatSize(changedBytes)} changed${growth}; ` +
      KEEPINGS[keeping],
    `Finding it takes ${formatSize(mapBytes)} of memory${isScattered(unit) ? ', because it is scattered over the disk' : ''}.`,
    ...table(['FROM', 'OVER', 'CHANGED'], rows),
    ...(areas.length > shown.length ? [`and ${areas.length - shown.length} smaller areas`] : []),
    ...(unit.fileSystems ?? []).flatMap(describeFileSystem)
  ]
}

/** More than a fourth of what is stored. It counts against the client's limit like the data. */
function isScattered({ size, bytesStored, mapBytes }: ShowAnswer['units'][number]): boolean {
  return mapBytes - size / MIB_BYTES > Math.max(SCATTERED_BYTES_MIN, bytesStored / 4)
}

function describeFileSystem(found: FileSystem): string[] {
  const { partition, kind, changedBytes, files, fileCount, notes } = found
  const place = partition === undefined ? 'The disk' : `Partition ${partition}`
  const shown = files.slice(0, FILES_SHOWN)
  const rows = shown.map((file) => [
    formatSize(file.changedBytes),
    formatSize(file.lengthBytes),
    file.path + (file.directory ? '/' : '')
  ])
  return [
    '',
    `${place} (${kind ?? 'unknown'}): ${formatSize(changedBytes)} changed` +
      (kind === undefined ? '' : `, in ${fileCount} files and folders`),
    ...(rows.length > 0 ? table(['CHANGED', 'SIZE', 'FILE'], rows) : []),
    ...(fileCount > shown.length
      ? [`and ${fileCount - shown.length} more (--json tells the first ${files.length})`]
      : []),
    ...notes.map((note) => `Note: ${note}.`)
  ]
}

function signed(bytes: number): string {
  return bytes < 0 ? `-${formatSize(-bytes)}` : `+${formatSize(bytes)}`
}
