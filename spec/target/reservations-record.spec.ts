import { describe, expect, it } from '@jest/globals'
import { parseReservations } from '../../lib/target/reservations-record.js'
import { Fields } from '../../lib/target/shape.js'

const ONE = { nexusId: 'one', initiatorPort: 'iqn.2010-04.local:one,i,0x400001370001', key: '00000000000000aa' }

const parse = (value: unknown) => parseReservations(new Fields('a record', value))

describe('persistent reservations in a record', () => {
  it('are read as they were written', () => {
    const kept = { registrations: [ONE], reservation: { type: 1, holder: 'one' } }
    expect(parse(JSON.parse(JSON.stringify(kept)))).toEqual(kept)
    expect(parse({ registrations: [] })).toEqual({ registrations: [], reservation: undefined })
  })

  it.each([
    ['nothing', {}],
    ['a key that is too short', { registrations: [{ ...ONE, key: 'aa' }] }],
    ['a key that is no number', { registrations: [{ ...ONE, key: '00000000000000zz' }] }],
    ['a registration without its port', { registrations: [{ ...ONE, initiatorPort: undefined }] }],
    ['a reservation without its holder', { registrations: [ONE], reservation: { type: 1 } }],
    ['a type that is no number', { registrations: [ONE], reservation: { type: 'exclusive', holder: 'one' } }]
  ])('are damaged when there is %s', (_what, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'ERR_ISCSI_STATE' }))
  })
})
