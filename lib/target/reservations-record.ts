import type { PersistedReservations } from '../scsi/reservation-store.js'
import type { Fields } from './shape.js'

/** Persistent reservations as they are kept in JSON; throws TargetError ERR_ISCSI_STATE for what is none. */
export function parseReservations(fields: Fields): PersistedReservations {
  return {
    registrations: fields.records('registrations', (one) => ({
      nexusId: one.string('nexusId'),
      initiatorPort: one.string('initiatorPort'),
      key: one.hex('key', KEY_DIGITS)
    })),
    reservation: fields.optionalRecord('reservation', (one) => ({
      type: one.count('type'),
      holder: one.string('holder')
    }))
  }
}

const KEY_DIGITS = 16
