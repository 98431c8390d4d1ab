import type { Argv } from 'yargs'
import { ConfigError } from '../../target/config.js'
import { single, type ParsedArguments } from '../options.js'

export const INITIATOR = 'The iSCSI name of the client, as the log shows it'

export function withTarget<T>(yargs: Argv<T>): Argv {
  return yargs.option('target', {
    nargs: 1,
    requiresArg: true,
    describe: 'The target, when the client has something at several'
  })
}

/** `--lun` names the image of the server already, as everywhere. */
export function withLun<T>(yargs: Argv<T>): Argv {
  return yargs.option('unit', { nargs: 1, requiresArg: true, describe: 'The LUN, such as 0, when it has several' })
}

/** Undefined when none is named. */
export function lunOf(args: ParsedArguments): number | undefined {
  const text = single(args, 'unit')
  if (text === undefined) return undefined
  if (/^\d{1,3}$/.test(text) && Number(text) <= 255) return Number(text)
  throw new ConfigError([`--unit: "${text}" must be the number of a LUN, from 0 to 255`])
}
