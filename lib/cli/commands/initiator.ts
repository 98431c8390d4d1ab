import type { Command } from '../command.js'
import { initiatorPolicy } from './initiator-policy.js'

/** What holds for clients by name; one file an action, and a line here. */
export const initiator: Command = {
  usage: 'initiator',
  about: 'What becomes of the writes of a client',
  examples: [
    ['cloudx initiator policy', 'What holds for whom'],
    ['cloudx initiator policy iqn.1991-05.com.microsoft:pc-07 keep', 'Keep what this client writes']
  ],
  subcommands: [initiatorPolicy],
  options: (yargs) => yargs,
  run: () => Promise.resolve(0)
}
