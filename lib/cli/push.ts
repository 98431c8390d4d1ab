import { setTimeout as pause } from 'node:timers/promises'
import type { Argv } from 'yargs'
import type { AdminClient } from '../admin/client.js'
import { ConfigError } from '../target/config.js'
import type { ImageView, PushStay, PushView } from '../target/control.js'
import { IscsiError } from '../util/errors.js'
import { formatSize, formatTime } from '../util/units.js'
import type { CliContext } from './command.js'
import { agree } from './consent.js'
import { single, type ParsedArguments } from './options.js'
import { withProgress } from './progress.js'
import { table } from './table.js'

/** How often the server is asked how far it is. */
const ASK_MS = 200

/** The options of a push. */
export function withPush<T>(yargs: Argv<T>): Argv {
  return yargs
    .option('at', {
      nargs: 1,
      requiresArg: true,
      describe: 'Not now but at this time, such as 19:00, today or tomorrow'
    })
    .option('drop-deltas', {
      type: 'boolean',
      describe: 'Also clients that wrote something; what they wrote is dropped'
    })
    .option('yes', { type: 'boolean', describe: 'Do not ask' })
}

/**
 * The next time that the clocks of this PC show so; what is past today means tomorrow.
 * @param now - wall clock, ms since 1970
 * @throws ConfigError when it is no time of day
 */
export function nextTime(text: string, now: number): number {
  const [, hours, minutes] = /^(\d{1,2}):(\d{2})$/.exec(text.trim()) ?? []
  if (hours === undefined || Number(hours) > 23 || Number(minutes) > 59) {
    throw new ConfigError([`--at: "${text}" must be a time of day such as 19:00`])
  }
  const time = new Date(now)
  time.setHours(Number(hours), Number(minutes), 0, 0)
  if (time.getTime() > now) return time.getTime()
  const today = new Date(now)
  return new Date(today.getFullYear(), today.getMonth(), today.getDate() + 1, Number(hours), Number(minutes)).getTime()
}

/** The options, judged before anything is done. */
export function pushOf(args: ParsedArguments, now: number): { at: number | undefined; dropDeltas: boolean } {
  const at = single(args, 'at')
  return { at: at === undefined ? undefined : nextTime(at, now), dropDeltas: args['drop-deltas'] === true }
}

/** Whoever lets writes of others be dropped knows whose. */
export async function agreeToDrop(image: ImageView, args: ParsedArguments, context: CliContext): Promise<void> {
  const authors = new Set(image.drafts.map(({ initiatorName }) => initiatorName))
  const users = image.generations.flatMap((one) => one.users)
  const losers = users.filter(({ kind, bytes, initiatorName }) => {
    return kind !== 'bin' && bytes > 0 && !authors.has(initiatorName)
  })
  const list = losers.map(({ initiatorName, bytes }) => `${initiatorName} (${formatSize(bytes)})`).join(', ')
  const question = `What clients wrote over older generations is dropped${list === '' ? '' : `: ${list}`}.`
  await agree(question, 'Nothing was dropped, and nobody was asked to log in again.', args, context)
}

/**
 * Waits for a push that goes on in the server, with a bar, unless it is for later, and tells who stays on which
 * generation. Whoever interrupts this interrupts the waiting alone.
 * @returns the image as it is then
 */
export function followPush(client: AdminClient, begun: ImageView, { stderr }: CliContext): Promise<ImageView> {
  const follow = async (update: (done: number, total: number) => void): Promise<ImageView> => {
    for (let image = begun; ;) {
      const { push } = image
      if (push && push.total > 0 && push.state !== 'planned') update(push.done, push.total)
      if (push?.state === 'failed') throw new IscsiError('ERR_ISCSI_PUSH', push.message)
      if (push?.state !== 'running') return image
      await pause(ASK_MS)
      const { images } = await client.images()
      image = images.find(({ uuid }) => uuid === begun.uuid) ?? begun
    }
  }
  return withProgress(stderr, follow, String)
}

/** What is planned, what happened, and who stays where. */
export function describePush(push: PushView | undefined, now: number): string[] {
  if (!push) return []
  const { state, at, dropDeltas, message, stayed, done, total } = push
  if (state === 'running') return [`Clients are being asked to log in again: ${done} of ${total}.`]
  if (state === 'missed') return [`${message}.`]
  if (state !== 'planned') return [`Push of ${formatTime(at, now)}: ${message}.`, ...describeStays(stayed)]
  const writers = dropDeltas ? 'what they wrote is dropped' : 'those that wrote something stay'
  return [
    `At ${formatTime(at, now)} clients on older generations are asked to log in again; ${writers}. ` +
      'Take it back with: cloudx image push --cancel'
  ]
}

function describeStays(stayed: readonly PushStay[]): string[] {
  if (stayed.length === 0) return []
  const rows = stayed.map(({ initiatorName, targetName, generation, bytes, reason }) => [
    String(generation),
    initiatorName,
    targetName,
    formatSize(bytes),
    REASONS[reason]
  ])
  return ['', ...table(['GENERATION', 'STAYS', 'TARGET', 'WROTE', 'WHY'], rows)]
}

const REASONS: Readonly<Record<PushStay['reason'], string>> = {
  wrote: 'it would lose what it wrote; --drop-deltas drops that',
  kept: 'what it wrote is kept by its policy',
  there: 'it could not be moved'
}
