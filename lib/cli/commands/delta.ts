import type { Command } from '../command.js'
import { deltaDrop } from './delta-drop.js'
import { deltaExport } from './delta-export.js'
import { deltaList } from './delta-list.js'
import { deltaRescue } from './delta-rescue.js'
import { deltaShow } from './delta-show.js'
import { deltaUndo } from './delta-undo.js'

/** What clients have written; one file an action, and a line here. */
export const delta: Command = {
  usage: 'delta',
  about: 'What clients have written: list it, look into it, drop it, bring it back, copy it',
  examples: [
    ['cloudx delta list', 'All deltas, and what was dropped and can be had back'],
    ['cloudx delta undo iqn.1991-05.com.microsoft:pc-07', 'Give this client back what its last logout dropped']
  ],
  subcommands: [deltaList, deltaShow, deltaDrop, deltaUndo, deltaExport, deltaRescue],
  options: (yargs) => yargs,
  run: () => Promise.resolve(0)
}
