import type { Command } from './command.js'
import type { Nexus } from './nexus.js'
import type { PersistedReservations, ReservationStore } from './reservation-store.js'
import {
  INSUFFICIENT_REGISTRATION_RESOURCES,
  INVALID_FIELD_IN_PARAMETER_LIST,
  INVALID_RELEASE,
  REGISTRATIONS_PREEMPTED,
  RESERVATIONS_PREEMPTED,
  RESERVATIONS_RELEASED,
  type SenseCondition
} from './sense.js'

/** Registrations that one unit remembers; they outlive their nexuses. */
export const MAX_REGISTRATIONS = 256

/** SPC-4 table 213: the persistent reservation types. */
export const ReservationType = {
  WriteExclusive: 1,
  ExclusiveAccess: 3,
  WriteExclusiveRegistrantsOnly: 5,
  ExclusiveAccessRegistrantsOnly: 6,
  WriteExclusiveAllRegistrants: 7,
  ExclusiveAccessAllRegistrants: 8
} as const

/** What the rest of the rules needs to know of each type. */
const TYPES: Readonly<Record<number, { writeExclusive: boolean; registrants: boolean; allHold: boolean } | undefined>> =
  {
    1: { writeExclusive: true, registrants: false, allHold: false },
    3: { writeExclusive: false, registrants: false, allHold: false },
    5: { writeExclusive: true, registrants: true, allHold: false },
    6: { writeExclusive: false, registrants: true, allHold: false },
    7: { writeExclusive: true, registrants: true, allHold: true },
    8: { writeExclusive: false, registrants: true, allHold: true }
  }

export function isReservationType(type: number): boolean {
  return TYPES[type] !== undefined
}

/** How a service action ends: as wanted, with RESERVATION CONFLICT, or with a sense condition. */
export type Outcome = 'good' | 'conflict' | SenseCondition

export interface Registration {
  readonly nexusId: string
  readonly initiatorPort: string
  readonly key: bigint
}

/** A state of {@link PersistentReservations}; theirs to read. */
export interface ReservationSnapshot {
  readonly registered: ReadonlyMap<string, Registration>
  readonly count: number
  readonly held: { readonly type: number; readonly holder: string } | undefined
  readonly persisting: boolean
}

/**
 * Persistent reservations of one unit (SPC-4 §5.13): who is registered with which key, and who holds what. A nexus is
 * known by the names of its ports, so that a registration is there again when the same nexus comes back.
 */
export class PersistentReservations {
  private readonly registered = new Map<string, Registration>()
  private count = 0
  private held: { readonly type: number; readonly holder: string } | undefined

  /** APTPL of the last registration: all of this is to survive a loss of power. */
  private persisting = false

  /**
   * @param notify - establishes a unit attention for the nexus of that name
   * @param store - without it nothing survives a loss of power, and REPORT CAPABILITIES says so
   */
  constructor(
    private readonly notify: (nexusId: string, attention: SenseCondition) => void,
    private readonly store?: ReservationStore
  ) {}

  /** PTPL_C: registrations can be kept over a loss of power. */
  get canPersist(): boolean {
    return this.store !== undefined
  }

  /** PTPL_A: they are. */
  get persists(): boolean {
    return this.persisting
  }

  /** The APTPL bit of a registration that succeeded. */
  setPersists(persists: boolean): void {
    this.persisting = persists
  }

  /** Takes over what was kept, after power on; PRGENERATION starts at 0 (SPC-4 §6.15.2). */
  restore({ registrations, reservation }: PersistedReservations): void {
    for (const { nexusId, initiatorPort, key } of registrations) {
      this.registered.set(nexusId, { nexusId, initiatorPort, key: BigInt(`0x${key}`) })
    }
    this.held = reservation
    this.persisting = true
  }

  /** Everything as it is now, to go back to by {@link undo}. */
  snapshot(): ReservationSnapshot {
    const { count, held, persisting } = this
    return { registered: new Map(this.registered), count, held, persisting }
  }

  undo({ registered, count, held, persisting }: ReservationSnapshot): void {
    this.registered.clear()
    for (const [id, one] of registered) this.registered.set(id, one)
    Object.assign(this, { count, held, persisting })
  }

  /**
   * Makes a change durable. Undefined when there is nothing to do: neither before nor after it anything was kept.
   * @param before - the state before the change
   */
  keep(before: ReservationSnapshot): Promise<void> | undefined {
    if (!this.store || (!this.persisting && !before.persisting)) return undefined
    return this.store.save(this.persisting && !this.empty ? this.persisted() : undefined)
  }

  private persisted(): PersistedReservations {
    const registrations = this.registrations.map(({ nexusId, initiatorPort, key }) => ({
      nexusId,
      initiatorPort,
      key: key.toString(16).padStart(16, '0')
    }))
    return { registrations, reservation: this.held }
  }

  /** PRGENERATION: how often the registrations changed, modulo 2^32. */
  get generation(): number {
    return this.count
  }

  get registrations(): Registration[] {
    return [...this.registered.values()]
  }

  /** Type of the reservation, or undefined when there is none. */
  get type(): number | undefined {
    return this.held?.type
  }

  /** The holder's key; 0 when all registrants hold it (SPC-4 §6.15.3.2). */
  get reservationKey(): bigint {
    if (!this.held || this.rules!.allHold) return 0n
    return this.registered.get(this.held.holder)!.key
  }

  get empty(): boolean {
    return this.registered.size === 0
  }

  isRegistered(nexus: Nexus): boolean {
    return this.registered.has(nexus.id)
  }

  holds(nexusId: string): boolean {
    if (!this.held) return false
    return this.rules!.allHold ? this.registered.has(nexusId) : this.held.holder === nexusId
  }

  /** SPC-4 table 65: does the reservation forbid this command to this nexus? */
  conflicts(nexus: Nexus, command: Command): boolean {
    if (!this.held) return false
    const allowed = command.allowedUnderReservation ?? (command.access === 'read' ? 'write-exclusive' : 'never')
    if (allowed === 'always' || this.holds(nexus.id)) return false
    const { registrants, writeExclusive } = this.rules!
    if (registrants && this.registered.has(nexus.id)) return false
    return !(writeExclusive && allowed === 'write-exclusive')
  }

  /** REGISTER (SPC-4 §5.13.7): `key` must be the registered one, or 0 when there is none. */
  register(nexus: Nexus, key: bigint, newKey: bigint): Outcome {
    if (key !== (this.registered.get(nexus.id)?.key ?? 0n)) return 'conflict'
    return this.registerAndIgnore(nexus, newKey)
  }

  /** REGISTER AND IGNORE EXISTING KEY; a new key of 0 unregisters. */
  registerAndIgnore(nexus: Nexus, newKey: bigint): Outcome {
    const known = this.registered.has(nexus.id)
    if (newKey === 0n) {
      if (known) this.unregister(nexus.id)
    } else {
      if (!known && this.registered.size === MAX_REGISTRATIONS) return INSUFFICIENT_REGISTRATION_RESOURCES
      this.registered.set(nexus.id, { nexusId: nexus.id, initiatorPort: nexus.initiatorPort, key: newKey })
    }
    if (known || newKey !== 0n) this.changed()
    return 'good'
  }

  /** RESERVE (SPC-4 §5.13.9). */
  reserve(nexus: Nexus, key: bigint, type: number): Outcome {
    if (!this.knows(nexus, key)) return 'conflict'
    if (!this.held) {
      this.held = { type, holder: nexus.id }
      return 'good'
    }
    return this.holds(nexus.id) && this.held.type === type ? 'good' : 'conflict'
  }

  /** RELEASE (SPC-4 §5.13.11.2). */
  release(nexus: Nexus, key: bigint, type: number): Outcome {
    if (!this.knows(nexus, key)) return 'conflict'
    if (!this.held || !this.holds(nexus.id)) return 'good'
    if (this.held.type !== type) return INVALID_RELEASE
    this.drop(nexus.id)
    return 'good'
  }

  /** CLEAR (SPC-4 §5.13.11.6). */
  clear(nexus: Nexus, key: bigint): Outcome {
    if (!this.knows(nexus, key)) return 'conflict'
    for (const id of this.registered.keys()) if (id !== nexus.id) this.notify(id, RESERVATIONS_PREEMPTED)
    this.registered.clear()
    this.held = undefined
    this.changed()
    return 'good'
  }

  /**
   * PREEMPT and PREEMPT AND ABORT (SPC-4 §5.13.11.4, §5.13.11.5).
   * @returns the outcome, and the names of the nexuses that were preempted, whose tasks PREEMPT AND ABORT aborts
   */
  preempt(nexus: Nexus, key: bigint, victimKey: bigint, type: number): { outcome: Outcome; preempted: string[] } {
    if (!this.knows(nexus, key)) return { outcome: 'conflict', preempted: [] }
    const allHold = this.held !== undefined && this.rules!.allHold
    if (victimKey === 0n && !allHold) return { outcome: INVALID_FIELD_IN_PARAMETER_LIST, preempted: [] }
    const victims = this.registrations.filter(
      (one) => one.key === victimKey || (victimKey === 0n && one.nexusId !== nexus.id)
    )
    const takesOver = this.held !== undefined && (allHold ? victimKey === 0n : victimKey === this.reservationKey)
    if (victims.length === 0 && !takesOver) return { outcome: 'conflict', preempted: [] }
    const preempted = victims.map((one) => one.nexusId).filter((id) => id !== nexus.id)
    for (const id of preempted) {
      this.registered.delete(id)
      this.notify(id, REGISTRATIONS_PREEMPTED)
    }
    // Who preempts the key that it uses itself keeps its registration unless the reservation is another's.
    if (!takesOver && victimKey === key) this.unregister(nexus.id)
    if (takesOver) this.takeOver(nexus, type)
    this.changed()
    return { outcome: 'good', preempted }
  }

  private takeOver(nexus: Nexus, type: number): void {
    if (this.rules!.registrants && this.held!.type !== type) this.tellReleased(nexus.id)
    this.held = { type, holder: nexus.id }
  }

  private get rules() {
    return TYPES[this.held!.type]
  }

  private knows(nexus: Nexus, key: bigint): boolean {
    return this.registered.get(nexus.id)?.key === key
  }

  private unregister(nexusId: string): void {
    const ends = this.held && (this.rules!.allHold ? this.registered.size === 1 : this.held.holder === nexusId)
    this.registered.delete(nexusId)
    if (ends) this.drop(nexusId)
  }

  /** The reservation ends; with a registrants type all other registrants hear of it (SPC-4 §5.13.11.2.2). */
  private drop(nexusId: string): void {
    if (this.rules!.registrants) this.tellReleased(nexusId)
    this.held = undefined
  }

  private tellReleased(except: string): void {
    for (const id of this.registered.keys()) if (id !== except) this.notify(id, RESERVATIONS_RELEASED)
  }

  private changed(): void {
    this.count = (this.count + 1) >>> 0
  }
}
