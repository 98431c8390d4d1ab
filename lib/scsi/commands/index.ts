import type { Command } from '../command.js'
import { compareAndWrite } from './compare-and-write.js'
import { copyOperationAbort } from './copy-operation-abort.js'
import { extendedCopy1, extendedCopy4 } from './extended-copy.js'
import { getLbaStatus } from './get-lba-status.js'
import { inquiry } from './inquiry.js'
import { logSense } from './log-sense.js'
import { modeSelect10, modeSelect6 } from './mode-select.js'
import { modeSense10, modeSense6 } from './mode-sense.js'
import { orwrite16 } from './orwrite.js'
import { readFullStatus, readKeys, readReservation, reportCapabilities } from './persistent-reserve-in.js'
import {
  clear,
  preempt,
  preemptAndAbort,
  register,
  registerAndIgnore,
  release,
  reserve
} from './persistent-reserve-out.js'
import { populateToken } from './populate-token.js'
import { preFetch10, preFetch16 } from './pre-fetch.js'
import { preventAllow } from './prevent-allow.js'
import { readCapacity10, readCapacity16 } from './read-capacity.js'
import { readDefectData10, readDefectData12 } from './read-defect-data.js'
import { read10, read12, read16, read6 } from './read.js'
import { receiveCopyFailureDetails, receiveCopyOperatingParameters, receiveCopyStatus } from './receive-copy-results.js'
import { receiveCopyStatus4, receiveRodTokenInformation } from './receive-copy-status.js'
import { reportLuns } from './report-luns.js'
import { reportSupportedOperationCodes } from './report-supported-operation-codes.js'
import { reportSupportedTaskManagement } from './report-supported-task-management.js'
import { requestSense } from './request-sense.js'
import { release10, release6, reserve10, reserve6 } from './reserve.js'
import {
  sanitizeBlockErase,
  sanitizeCryptographicErase,
  sanitizeExitFailureMode,
  sanitizeOverwrite
} from './sanitize.js'
import { sendDiagnostic } from './send-diagnostic.js'
import { startStopUnit } from './start-stop-unit.js'
import { synchronizeCache10, synchronizeCache16 } from './synchronize-cache.js'
import { testUnitReady } from './test-unit-ready.js'
import { unmap } from './unmap.js'
import { verify10, verify12, verify16 } from './verify.js'
import { writeAtomic16 } from './write-atomic.js'
import { writeAndVerify10, writeAndVerify12, writeAndVerify16 } from './write-and-verify.js'
import { writeSame10, writeSame16 } from './write-same.js'
import { writeUsingToken } from './write-using-token.js'
import { write10, write12, write16, write6 } from './write.js'

/** Every command, in the order of the operation codes and service actions. */
export const commands: readonly Command[] = [
  testUnitReady,
  requestSense,
  read6,
  write6,
  inquiry,
  modeSelect6,
  reserve6,
  release6,
  modeSense6,
  startStopUnit,
  sendDiagnostic,
  preventAllow,
  readCapacity10,
  read10,
  write10,
  writeAndVerify10,
  verify10,
  preFetch10,
  synchronizeCache10,
  readDefectData10,
  writeSame10,
  unmap,
  sanitizeOverwrite,
  sanitizeBlockErase,
  sanitizeCryptographicErase,
  sanitizeExitFailureMode,
  logSense,
  modeSelect10,
  reserve10,
  release10,
  modeSense10,
  readKeys,
  readReservation,
  reportCapabilities,
  readFullStatus,
  register,
  reserve,
  release,
  clear,
  preempt,
  preemptAndAbort,
  registerAndIgnore,
  extendedCopy1,
  extendedCopy4,
  populateToken,
  writeUsingToken,
  copyOperationAbort,
  receiveCopyStatus,
  receiveCopyOperatingParameters,
  receiveCopyFailureDetails,
  receiveCopyStatus4,
  receiveRodTokenInformation,
  read16,
  compareAndWrite,
  write16,
  orwrite16,
  writeAndVerify16,
  verify16,
  preFetch16,
  synchronizeCache16,
  writeSame16,
  writeAtomic16,
  readCapacity16,
  getLbaStatus,
  reportLuns,
  reportSupportedOperationCodes(() => commands),
  reportSupportedTaskManagement,
  read12,
  write12,
  writeAndVerify12,
  verify12,
  readDefectData12
]
