import { describe, expect, it } from '@jest/globals'
import * as codes from '../../lib/pdu/codes.js'

const rows = [
  {
    clause: '§11.13.5 login status',
    table: codes.LoginStatus,
    values: [
      0x0000, 0x0101, 0x0102, 0x0200, 0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x020a,
      0x020b, 0x0300, 0x0301, 0x0302
    ]
  },
  { clause: '§11.12.3 login stages', table: codes.LoginStage, values: [0, 1, 3] },
  {
    clause: '§11.17.1 reject reasons',
    table: codes.RejectReason,
    values: [0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0c]
  },
  { clause: '§11.14.1 logout reasons', table: codes.LogoutReason, values: [0, 1, 2] },
  { clause: '§11.15.1 logout responses', table: codes.LogoutResponseCode, values: [0, 1, 2, 3] },
  {
    clause: '§11.5.1 task management functions',
    table: codes.TaskManagementFunction,
    values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
  },
  {
    clause: '§11.6.1 task management responses',
    table: codes.TaskManagementResponseCode,
    values: [0, 1, 2, 3, 4, 5, 6, 7, 255]
  },
  { clause: '§11.9.1 asynchronous events', table: codes.AsyncEvent, values: [0, 1, 2, 3, 4, 5, 255] },
  { clause: '§11.3.1 task attributes', table: codes.TaskAttribute, values: [0, 1, 2, 3, 4] },
  { clause: '§11.4.3 responses', table: codes.ScsiResponseCode, values: [0, 1] },
  { clause: '§11.16.1 SNACK types', table: codes.SnackType, values: [0, 1, 2, 3] }
]

describe('RFC 7143 code tables', () => {
  it.each(rows)('$clause', ({ table, values }) => {
    expect(Object.values(table)).toEqual(values)
  })

  it.each(rows)('$clause have a name each', ({ table, values }) => {
    const names = values.map((value) => codes.codeName(table, value))
    expect(new Set(names).size).toBe(values.length)
    for (const name of names) expect(name).toMatch(/^[a-z0-9 ]+$/)
  })
})

describe('codeName', () => {
  it.each([
    [codes.LogoutReason, 0, 'close session'],
    [codes.LoginStatus, 0x0203, 'not found'],
    [codes.TaskManagementFunction, 5, 'logical unit reset'],
    [codes.RejectReason, 0x02, 'data digest error'],
    [codes.LogoutReason, 7, '0x07'],
    [codes.LoginStatus, 0x0fff, '0xfff']
  ])('%#: says %j of %d', (table, code, name) => {
    expect(codes.codeName(table, code)).toBe(name)
  })
})
