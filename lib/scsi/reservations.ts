import type { Command } from './command.js'
import type { Nexus } from './nexus.js'
import { PersistentReservations } from './persistent-reservations.js'
import type { ReservationStore } from './reservation-store.js'
import type { SenseCondition } from './sense.js'

const PERSISTENT_RESERVE_IN = 0x5e
const PERSISTENT_RESERVE_OUT = 0x5f

/** Who may do what to a unit: RESERVE/RELEASE (SPC-2) and persistent reservations (SPC-4 §5.13). Never both at once. */
export class Reservations {
  readonly persistent: PersistentReservations
  /** The nexus that did RESERVE. */
  private holder: string | undefined

  /**
   * @param notify - establishes a unit attention for the nexus of that name
   * @param store - keeps persistent reservations over a loss of power
   */
  constructor(notify: (nexusId: string, attention: SenseCondition) => void, store?: ReservationStore) {
    this.persistent = new PersistentReservations(notify, store)
  }

  /** True when somebody else's reservation forbids this command to this nexus. */
  conflicts(nexus: Nexus, command: Command): boolean {
    if (this.holder !== undefined) return this.reserveConflicts(nexus, command)
    return this.persistent.type !== undefined && this.persistent.conflicts(nexus, command)
  }

  /** True when somebody else's reservation forbids all that only a holder may do. */
  excludes(nexus: Nexus): boolean {
    return this.conflicts(nexus, HOLDERS_ONLY)
  }

  /** RESERVE: false when it conflicts. */
  reserve(nexus: Nexus): boolean {
    if (!this.persistent.empty) return this.compatible(nexus)
    if (this.holder !== undefined && this.holder !== nexus.id) return false
    this.holder = nexus.id
    return true
  }

  /** RELEASE: by anybody but the holder it changes nothing, and is good (SPC-2 §7.20.2). False when it conflicts. */
  release(nexus: Nexus): boolean {
    if (!this.persistent.empty) return this.compatible(nexus)
    if (this.holder === nexus.id) this.holder = undefined
    return true
  }

  /** The nexus is gone: SPC-2 reservations fall, persistent ones stay. */
  nexusLost(nexus: Nexus): void {
    if (this.holder === nexus.id) this.holder = undefined
  }

  /** LOGICAL UNIT RESET or TARGET RESET: SPC-2 reservations fall. */
  reset(): void {
    this.holder = undefined
  }

  /**
   * SPC-4 §5.13.3, compatible reservation handling (CRH=1): where persistent registrations exist, RESERVE and RELEASE
   * are good and do nothing for a registered nexus, which has what it wants if it holds the persistent reservation.
   */
  private compatible(nexus: Nexus): boolean {
    if (!this.persistent.isRegistered(nexus)) return false
    const type = this.persistent.type
    return type !== undefined && !this.persistent.conflicts(nexus, HOLDERS_ONLY)
  }

  private reserveConflicts(nexus: Nexus, command: Command): boolean {
    // SPC-3 §5.6.1: while RESERVE holds, both kinds of reservation cannot mix, not even for its holder.
    if (command.opcode === PERSISTENT_RESERVE_IN || command.opcode === PERSISTENT_RESERVE_OUT) return true
    return this.holder !== nexus.id && command.allowedUnderReserve !== true
  }
}

/** Stands for any command that only a holder may send. */
const HOLDERS_ONLY = { access: 'write' } as Command
