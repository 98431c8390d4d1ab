import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { hasThreshold, thresholdSets } from '../provisioning.js'
import type { LogPage } from './page.js'

/** SBC-3 §6.4.4: how much a thin unit has stored and may still store, in threshold sets. */
const parameter = defineLayout(12, { code: u16, control: u8, length: u8, count: u32, scope: u8, reserved: bytes(3) })

/** FORMAT AND LINKING 11b: binary format list. */
const BINARY_LIST = 0x03
const PARAMETER_LENGTH = 8
const AVAILABLE = 0x0001
const USED = 0x0002
const DEDICATED = 0x01
/** Other units may use it up as well: the file system that all deltas lie in. */
const SHARED = 0x02

export const logicalBlockProvisioning: LogPage = {
  code: 0x0c,
  subpage: 0x00,
  supported: hasThreshold,
  parameters(unit) {
    const sets = thresholdSets(unit)!
    return [resource(AVAILABLE, sets.available, SHARED), resource(USED, sets.used, DEDICATED)]
  }
}

function resource(code: number, count: number, scope: number) {
  return { code, bytes: parameter.make({ code, control: BINARY_LIST, length: PARAMETER_LENGTH, count, scope }) }
}
