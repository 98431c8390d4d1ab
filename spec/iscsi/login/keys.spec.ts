import { describe, expect, it } from '@jest/globals'
import { keys } from '../../../lib/iscsi/login/keys.js'
import { DEFAULT_OFFER, defaultParameters } from '../../../lib/iscsi/parameters.js'

/**
 * RFC 7143 §12 and §13, copied by hand: key, section, use, scope, who sends it, what it is, default, bounds, whether it
 * is irrelevant in a discovery session.
 */
const STANDARD = [
  ['AuthMethod', '12.1', 'IO', 'CO', 'both', 'text', 'None', undefined, false],
  ['CHAP_A', '12.1.3', 'IO', 'CO', 'initiator', 'text', undefined, undefined, false],
  ['CHAP_I', '12.1.3', 'IO', 'CO', 'both', 'text', undefined, undefined, false],
  ['CHAP_C', '12.1.3', 'IO', 'CO', 'both', 'text', undefined, undefined, false],
  ['CHAP_N', '12.1.3', 'IO', 'CO', 'both', 'text', undefined, undefined, false],
  ['CHAP_R', '12.1.3', 'IO', 'CO', 'both', 'text', undefined, undefined, false],
  ['HeaderDigest', '13.1', 'IO', 'CO', 'both', 'list', 'None', undefined, false],
  ['DataDigest', '13.1', 'IO', 'CO', 'both', 'list', 'None', undefined, false],
  ['MaxConnections', '13.2', 'LO', 'SW', 'both', 'number', '1', [1, 65535], true],
  ['SendTargets', '13.3', 'FFPO', 'SW', 'initiator', 'text', undefined, undefined, false],
  ['TargetName', '13.4', 'IO', 'SW', 'initiator', 'text', undefined, undefined, false],
  ['InitiatorName', '13.5', 'IO', 'SW', 'initiator', 'text', undefined, undefined, false],
  ['TargetAlias', '13.6', 'ALL', 'SW', 'target', 'text', undefined, undefined, false],
  ['InitiatorAlias', '13.7', 'ALL', 'SW', 'initiator', 'text', undefined, undefined, false],
  ['TargetAddress', '13.8', 'ALL', 'SW', 'target', 'text', undefined, undefined, false],
  ['TargetPortalGroupTag', '13.9', 'IO', 'SW', 'target', 'text', undefined, undefined, false],
  ['InitialR2T', '13.10', 'LO', 'SW', 'both', 'boolean', 'Yes', 'or', true],
  ['ImmediateData', '13.11', 'LO', 'SW', 'both', 'boolean', 'Yes', 'and', true],
  ['MaxRecvDataSegmentLength', '13.12', 'ALL', 'CO', 'both', 'declared-number', '8192', [512, 16777215], false],
  ['MaxBurstLength', '13.13', 'LO', 'SW', 'both', 'number', '262144', [512, 16777215], true],
  ['FirstBurstLength', '13.14', 'LO', 'SW', 'both', 'number', '65536', [512, 16777215], true],
  ['DefaultTime2Wait', '13.15', 'LO', 'SW', 'both', 'number', '2', [0, 3600], false],
  ['DefaultTime2Retain', '13.16', 'LO', 'SW', 'both', 'number', '20', [0, 3600], false],
  ['MaxOutstandingR2T', '13.17', 'LO', 'SW', 'both', 'number', '1', [1, 65535], true],
  ['DataPDUInOrder', '13.18', 'LO', 'SW', 'both', 'boolean', 'Yes', 'or', true],
  ['DataSequenceInOrder', '13.19', 'LO', 'SW', 'both', 'boolean', 'Yes', 'or', true],
  ['ErrorRecoveryLevel', '13.20', 'LO', 'SW', 'both', 'number', '0', [0, 2], false],
  ['SessionType', '13.21', 'LO', 'SW', 'initiator', 'text', 'Normal', undefined, false],
  ['TaskReporting', '13.23', 'LO', 'SW', 'both', 'list', 'RFC3720', undefined, true],
  ['iSCSIProtocolLevel', '13.24', 'LO', 'SW', 'both', 'number', '1', [0, 31], true],
  ['IFMarker', '13.25', 'LO', 'SW', 'both', 'obsolete', 'No', undefined, false],
  ['OFMarker', '13.25', 'LO', 'SW', 'both', 'obsolete', 'No', undefined, false],
  ['OFMarkInt', '13.25', 'LO', 'SW', 'both', 'obsolete', undefined, undefined, false],
  ['IFMarkInt', '13.25', 'LO', 'SW', 'both', 'obsolete', undefined, undefined, false]
] as const

describe('keys', () => {
  it.each(STANDARD)(
    '%s is as section %s has it',
    (name, section, use, scope, sender, kind, initial, rule, irrelevant) => {
      const key = keys.get(name)!
      expect([key.section, key.use, key.scope, key.sender, key.kind]).toEqual([section, use, scope, sender, kind])
      expect([key.default, key.irrelevantInDiscovery]).toEqual([initial, irrelevant])
      if (key.kind === 'number' || key.kind === 'declared-number') expect([key.min, key.max]).toEqual(rule)
      if (key.kind === 'boolean') expect(key.result.name).toBe(rule)
    }
  )

  it('holds these keys and no other, and names no property of objects', () => {
    expect([...keys.keys()]).toEqual(STANDARD.map(([name]) => name))
    expect(keys.get('__proto__')).toBeUndefined()
    expect(keys.get('constructor')).toBeUndefined()
  })

  it('has the defaults that are in force before any negotiation', () => {
    const parameters: Record<string, unknown> = { ...defaultParameters() }
    for (const key of keys.values()) {
      if (key.kind === 'number' && key.parameter)
        expect([key.name, parameters[key.parameter]]).toEqual([key.name, Number(key.default)])
      if (key.kind === 'boolean' && key.parameter)
        expect([key.name, parameters[key.parameter]]).toEqual([key.name, key.default === 'Yes'])
      if (key.kind === 'list' && key.parameter) expect([key.name, parameters[key.parameter]]).toEqual([key.name, false])
    }
  })

  it('offers nothing that is out of its own range', () => {
    for (const key of keys.values()) {
      if (key.kind !== 'number' && key.kind !== 'declared-number') continue
      const ours = key.ours(DEFAULT_OFFER)
      expect([key.name, ours >= key.min && ours <= key.max]).toEqual([key.name, true])
    }
  })

  it('never offers a first burst above the burst', () => {
    const key = keys.get('FirstBurstLength')!
    const offer = { ...DEFAULT_OFFER, firstBurstLength: 262144, maxBurstLength: 65536 }
    expect(key.kind === 'number' && key.ours(offer)).toBe(65536)
  })
})
