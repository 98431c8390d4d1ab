import { bytes, defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { defineCommand, type Command } from '../command.js'
import type { PersistentReservations } from '../persistent-reservations.js'
import { iscsiTransportId } from '../transport-id.js'
import { RELATIVE_TARGET_PORT } from '../vpd/device-identification.js'

const cdb = defineLayout(10, {
  opcode: u8,
  serviceAction: u8,
  reserved: bytes(5),
  allocationLength: u16,
  control: u8
})
const view = cdb.view()

/** PERSISTENT RESERVE IN, SPC-4 §6.15. */
export const readKeys = define(0x00, 'PERSISTENT RESERVE IN, READ KEYS', (state) =>
  withHeader(state, Buffer.concat(state.registrations.map((one) => key(one.key))))
)
export const readReservation = define(0x01, 'PERSISTENT RESERVE IN, READ RESERVATION', (state) =>
  withHeader(state, state.type === undefined ? Buffer.alloc(0) : reservation(state, state.type))
)
export const reportCapabilities = define(0x02, 'PERSISTENT RESERVE IN, REPORT CAPABILITIES', capabilities)
export const readFullStatus = define(0x03, 'PERSISTENT RESERVE IN, READ FULL STATUS', (state) =>
  withHeader(state, fullStatus(state))
)

function define(serviceAction: number, name: string, read: (state: PersistentReservations) => Buffer): Command {
  return defineCommand(
    {
      opcode: 0x5e,
      serviceAction,
      name,
      usage: [0x5e, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00],
      access: 'none',
      medium: false,
      allowedUnderReservation: 'always',
      execute: (task, unit) => task.reply(read(unit.reservations.persistent), view.at(task.cdb).allocationLength)
    },
    cdb
  )
}

/** PRGENERATION and ADDITIONAL LENGTH in front. */
function withHeader(state: PersistentReservations, body: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(state.generation, 0)
  header.writeUInt32BE(body.length, 4)
  return Buffer.concat([header, body])
}

function key(value: bigint): Buffer {
  const field = Buffer.alloc(8)
  field.writeBigUInt64BE(value)
  return field
}

/** SPC-4 table 209: key, obsolete, scope (0h, the whole unit) and type, obsolete. */
function reservation(state: PersistentReservations, type: number): Buffer {
  return Buffer.concat([key(state.reservationKey), Buffer.from([0, 0, 0, 0, 0, type, 0, 0])])
}

/**
 * SPC-4 §6.15.4: CRH; keys for this port alone, no TransportIDs in lists; TMV and ALLOW COMMANDS 001b (TEST UNIT READY
 * passes); types 1, 3, 5, 6, 7 (byte 4) and 8 (byte 5).
 */
const CAPABILITIES = Buffer.from([0x00, 0x08, 0x10, 0x90, 0xea, 0x01, 0x00, 0x00])
/** PTPL_C: a loss of power can be survived. PTPL_A: the registrations that there are do. */
const FLAG_PTPL_C = 0x01
const FLAG_PTPL_A = 0x01

function capabilities({ canPersist, persists }: PersistentReservations): Buffer {
  const data = Buffer.from(CAPABILITIES)
  if (canPersist) data[2]! |= FLAG_PTPL_C
  if (persists) data[3]! |= FLAG_PTPL_A
  return data
}

/** SPC-4 table 214, without the TransportID. */
const statusDescriptor = defineLayout(24, {
  keyHigh: u32,
  keyLow: u32,
  reserved: u32,
  flags: u8,
  scopeAndType: u8,
  moreReserved: u32,
  relativePort: u16,
  additionalLength: u32
})

const FLAG_R_HOLDER = 0x01

function fullStatus(state: PersistentReservations): Buffer {
  const parts = state.registrations.flatMap((one) => {
    const transportId = iscsiTransportId(one.initiatorPort)
    const holder = state.holds(one.nexusId)
    const descriptor = statusDescriptor.make({
      keyHigh: Number(one.key >> 32n),
      keyLow: Number(one.key & 0xffffffffn),
      flags: holder ? FLAG_R_HOLDER : 0,
      scopeAndType: holder ? state.type! : 0,
      relativePort: RELATIVE_TARGET_PORT,
      additionalLength: transportId.length
    })
    return [descriptor, transportId]
  })
  return Buffer.concat(parts)
}
