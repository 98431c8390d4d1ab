import { describe, expect, it } from '@jest/globals'
import {
  formatInitiatorRecord,
  isForgettable,
  newInitiatorRecord,
  parseInitiatorRecord,
  type InitiatorRecord
} from '../../lib/target/initiator-record.js'

const FULL: InitiatorRecord = {
  ...newInitiatorRecord('iqn.2010-04.local.cloudx:share', 'iqn.1991-05.com.microsoft:pc'),
  chapUser: 'alice',
  isids: ['400001370001'],
  end: 'closed',
  graceEnds: 12,
  units: [{ lun: 0, incarnation: 1, epoch: 2, stored: true, fence: { suspects: ['a'], accepted: [] } }]
}

function parse(value: unknown): InitiatorRecord {
  return parseInitiatorRecord('/state/x.json', value)
}

describe('an initiator record', () => {
  it.each([['a new one', newInitiatorRecord('t', 'i')] as const, ['a full one', FULL] as const])(
    'comes back from its file as it was: %s',
    (_what, record) => {
      expect(parse(JSON.parse(JSON.stringify(formatInitiatorRecord(record))))).toEqual(record)
    }
  )

  const good = JSON.parse(JSON.stringify(formatInitiatorRecord(FULL))) as Record<string, unknown>
  it.each([
    ['a list', []],
    ['null', null],
    ['no version', { ...good, version: undefined }],
    ['a later version', { ...good, version: 2 }],
    ['a name that is a number', { ...good, initiatorName: 7 }],
    ['a negative time', { ...good, lastSeen: -1 }],
    ['units that are no list', { ...good, units: {} }],
    ['a unit without epoch', { ...good, units: [{ lun: 0, incarnation: 0, stored: true }] }],
    ['an epoch that is no whole number', { ...good, units: [{ lun: 0, incarnation: 0, epoch: 1.5, stored: true }] }],
    ['a fence without its list', { ...good, units: [{ lun: 0, incarnation: 0, epoch: 1, stored: true, fence: {} }] }]
  ])('is refused with the name of its file: %s', (_what, value) => {
    expect(() => parse(value)).toThrow(/^\/state\/x\.json/)
  })

  it.each([
    ['nothing stored, nothing lost', {}, true],
    ['a delta', { units: [{ lun: 0, incarnation: 0, epoch: 0, stored: true, fence: undefined }] }, false],
    ['a lost delta', { units: [{ lun: 0, incarnation: 1, epoch: 0, stored: false, fence: undefined }] }, false],
    ['an ended epoch only', { units: [{ lun: 0, incarnation: 0, epoch: 4, stored: false, fence: undefined }] }, true],
    ['a floor', { incarnationFloor: 9 }, false]
  ])('may be forgotten or not: %s', (_what, change, forgettable) => {
    expect(isForgettable({ ...newInitiatorRecord('t', 'i'), ...change })).toBe(forgettable)
  })
})
