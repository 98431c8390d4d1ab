import { defineLayout, u16, u8 } from '../../layout/layout.js'
import type { ModePage } from './page.js'

/** SPC-4 §7.5.8. TST=000b: one task set for all nexuses. QERR=00b, TAS=0: an aborted task gets no status. */
const layout = defineLayout(12, {
  code: u8,
  length: u8,
  senseFlags: u8,
  queueFlags: u8,
  protectFlags: u8,
  moreFlags: u8,
  obsolete: u16,
  busyTimeout: u16,
  selfTestTime: u16
})

/** Sense data in descriptor format. */
const FLAG_D_SENSE = 0x04
/** Log parameters are not saved by themselves; there is nothing to save. */
const FLAG_GLTSD = 0x02
/** QUEUE ALGORITHM MODIFIER 1h: SIMPLE tasks run in any order. */
const QUEUE_UNRESTRICTED = 0x10
const FLAG_SWP = 0x08

export const control: ModePage = {
  code: 0x0a,
  subpage: 0x00,
  changeable: () => layout.make({ senseFlags: FLAG_D_SENSE, protectFlags: FLAG_SWP }),
  build: (_unit, modes) =>
    layout.make({
      code: 0x0a,
      length: 0x0a,
      senseFlags: FLAG_GLTSD | (modes.descriptorSense ? FLAG_D_SENSE : 0),
      queueFlags: QUEUE_UNRESTRICTED,
      protectFlags: modes.softwareWriteProtect ? FLAG_SWP : 0
    }),
  apply(page, modes) {
    modes.descriptorSense = (page[layout.offsets.senseFlags]! & FLAG_D_SENSE) !== 0
    modes.softwareWriteProtect = (page[layout.offsets.protectFlags]! & FLAG_SWP) !== 0
  }
}
