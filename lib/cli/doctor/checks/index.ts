import type { Check } from '../check.js'
import { antivirus } from './antivirus.js'
import { clock } from './clock.js'
import { firewall } from './firewall.js'
import { fixedAddress } from './fixed-address.js'
import { freeSpace } from './free-space.js'
import { networkProfile } from './network-profile.js'
import { port } from './port.js'
import { sleep } from './sleep.js'
import { stateFileSystem } from './state-file-system.js'

/** In the order in which a connection fails. */
export const checks: readonly Check[] = [
  port,
  firewall,
  networkProfile,
  fixedAddress,
  sleep,
  freeSpace,
  stateFileSystem,
  clock,
  antivirus
]
