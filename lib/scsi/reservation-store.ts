/** What of the persistent reservations of a unit survives a loss of power (APTPL, SPC-4 §5.13.5). */
export interface PersistedReservations {
  readonly registrations: readonly PersistedRegistration[]
  readonly reservation: { readonly type: number; readonly holder: string } | undefined
}

export interface PersistedRegistration {
  /** Names of both ports. */
  readonly nexusId: string
  readonly initiatorPort: string
  /** 16 hex digits. */
  readonly key: string
}

/** Where they are kept; whoever owns the unit brings it. */
export interface ReservationStore {
  /**
   * Replaces what is kept; undefined keeps nothing any more. It is durable when this resolves, and only then is the
   * PERSISTENT RESERVE OUT that asked for it answered.
   */
  save(state: PersistedReservations | undefined): Promise<void>
}
