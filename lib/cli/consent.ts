import { createInterface } from 'node:readline/promises'
import type { Control, InitiatorView } from '../target/control.js'
import type { ServerOptions } from '../target/options.js'
import { IscsiError } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import type { CliContext } from './command.js'
import type { ParsedArguments } from './options.js'

/** Asks a person a question that is answered with yes or no. */
export type Ask = (question: string) => Promise<boolean>

/**
 * `--author-discards` lets an author's login drop what other clients wrote. A person agrees to that before anybody can
 * log in: at the terminal, or beforehand with `--yes`. The question names what would go now; what clients write later
 * is covered by the answer.
 * @throws IscsiError when nobody agreed; nothing has been dropped then
 */
export async function agreeToDiscards(
  options: ServerOptions,
  control: Pick<Control, 'initiators'>,
  yes: boolean,
  ask: Ask | undefined
): Promise<void> {
  const targets = options.targets.filter(({ authors, authorDiscards }) => authorDiscards && authors.length > 0)
  if (targets.length === 0 || yes) return
  const names = targets.map(({ name }) => name)
  const all = await control.initiators()
  const question = questionAbout(
    all.filter(({ targetName, units }) => names.includes(targetName) && bytesOf(units) > 0)
  )
  if (!ask) throw nobodyToAsk(question)
  if (!(await ask(question))) throw new IscsiError('ERR_ISCSI_CONSENT', 'Nothing was dropped, and nothing is served.')
}

/**
 * For an order that takes something away: a person agrees at the terminal, or beforehand with `--yes`.
 * @param otherwise - a sentence, for the person who did not
 * @throws IscsiError when nobody agreed
 */
export async function agree(
  question: string,
  otherwise: string,
  args: ParsedArguments,
  { ask }: Pick<CliContext, 'ask'>
): Promise<void> {
  if (args.yes === true) return
  if (!ask) throw nobodyToAsk(question)
  if (!(await ask(question))) throw new IscsiError('ERR_ISCSI_CONSENT', otherwise)
}

function nobodyToAsk(question: string): IscsiError {
  return new IscsiError('ERR_ISCSI_CONSENT', `${question} There is nobody to ask here; add --yes if this is wanted.`)
}

/** Asks at the terminal; undefined when standard input is none. */
export function askAtTerminal(input: NodeJS.ReadStream, output: NodeJS.WritableStream): Ask | undefined {
  if (!input.isTTY) return undefined
  return async (question) => {
    const terminal = createInterface({ input, output })
    try {
      const answer = await terminal.question(`${question} Go on? [y/N] `)
      return /^(y|yes)$/i.test(answer.trim())
    } finally {
      terminal.close()
    }
  }
}

function questionAbout(holders: readonly InitiatorView[]): string {
  const rule = 'With --author-discards the login of an author drops what other clients wrote.'
  if (holders.length === 0) return `${rule} No client has written anything yet.`
  const list = holders.map(({ initiatorName, units }) => `${initiatorName} (${formatSize(bytesOf(units))})`)
  return `${rule} Now these would lose their changes: ${list.join(', ')}.`
}

function bytesOf(units: InitiatorView['units']): number {
  return units.reduce((sum, { stored, bytes }) => sum + (stored ? Math.max(bytes ?? 0, 1) : 0), 0)
}
