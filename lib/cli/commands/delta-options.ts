import type { Argv } from 'yargs'
import type { CliContext } from '../command.js'
import { withPlace } from '../find-server.js'
import { single, wholeNumber, type ParsedArguments } from '../options.js'
import { whoami } from '../whoami.js'
import { WHERE } from './status.js'

/** The positional that says whose delta is meant. */
export function withInitiator<T>(yargs: Argv<T>): Argv {
  return yargs.positional('initiator', {
    type: 'string',
    describe: 'The iSCSI name of the client, as the log shows it'
  })
}

/** The positional and the options that say at which server, and at which of its targets. */
export function withTarget<T>(yargs: Argv<T>): Argv {
  return withPlace(yargs.positional('where', { type: 'string', describe: WHERE })).option('target', {
    nargs: 1,
    requiresArg: true,
    describe: 'The target, when the client has something at several'
  })
}

/** What every order on a client's delta begins with, and who gives it. */
export function whose(args: ParsedArguments, { environment }: CliContext) {
  return { initiator: String(args.initiator), target: single(args, 'target'), by: whoami(environment) }
}

/** `--lun` names the image of the server already, as everywhere. */
export function withLun<T>(yargs: Argv<T>): Argv {
  return yargs.option('unit', { nargs: 1, requiresArg: true, describe: 'The LUN, such as 0, when it has several' })
}

/** Undefined when none is named. */
export function lunOf(args: ParsedArguments): number | undefined {
  return wholeNumber(args, 'unit', [0, 255], 'the number of a LUN, from 0 to 255')
}
