import type { Command } from '../command.js'
import { read10, read12, read16, read6 } from './read.js'
import { write10, write12, write16, write6 } from './write.js'

/** Every command, in the order of the operation codes. */
export const commands: readonly Command[] = [
  read6,
  write6,
  read10,
  write10,
  read16,
  write16,
  read12,
  write12
]
