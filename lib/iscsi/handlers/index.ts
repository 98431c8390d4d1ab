import type { PduHandler } from '../full-feature.js'
import { dataOutHandler } from './data-out.js'
import { loginHandler } from './login.js'
import { logoutHandler } from './logout.js'
import { nopOutHandler } from './nop-out.js'
import { scsiCommandHandler } from './scsi-command.js'
import { snackHandler } from './snack.js'
import { taskManagementHandler } from './task-management.js'
import { textHandler } from './text.js'

/** Every PDU that an initiator may send in full feature phase, in the order of the operation codes. */
export const handlers: readonly PduHandler[] = [
  nopOutHandler,
  scsiCommandHandler,
  taskManagementHandler,
  loginHandler,
  textHandler,
  dataOutHandler,
  logoutHandler,
  snackHandler
]
