import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import type { ChapPolicy } from '../../../lib/iscsi/directory.js'
import { IssuedChallenges } from '../../../lib/iscsi/login/chap.js'
import type { LoginResult, LoginStep } from '../../../lib/iscsi/login/login.js'
import { DEFAULT_OFFER, defaultParameters } from '../../../lib/iscsi/parameters.js'
import {
  answersOf,
  INITIATOR,
  LoginHarness,
  outcomeOf,
  REMOTE,
  replyOf,
  TARGET,
  type LoginRequestFields
} from '../../support/login-harness.js'
import {
  ESXI,
  FREEBSD,
  IPXE,
  LIBISCSI,
  OPEN_ISCSI,
  WINDOWS,
  type LoginPreset,
  type Pairs
} from '../../support/login-presets.js'
import { Random, seedOf, steps } from '../../support/random.js'
import { textOf } from '../../support/scripted-initiator.js'

const SEED = seedOf(7003)

// T, C, CSG and NSG, RFC 7143 §11.12.
const SECURITY = 0x00
const SECURITY_TO_OPERATIONAL = 0x81
const SECURITY_TO_FULL_FEATURE = 0x83
const OPERATIONAL = 0x04
const OPERATIONAL_TO_FULL_FEATURE = 0x87
const CONTINUES = 0x40

const NAMES: Pairs = [
  ['InitiatorName', INITIATOR],
  ['SessionType', 'Normal'],
  ['TargetName', TARGET]
]
const FIRST: Pairs = [...NAMES, ['AuthMethod', 'None']]

function admitted(step: LoginStep): LoginResult {
  if (step.kind !== 'admit') throw new Error(`not admitted: ${outcomeOf(step)}`)
  return step.result
}

/** Both PDUs of a preset; the steps they give. */
function logIn(harness: LoginHarness, preset: LoginPreset): LoginStep[] {
  return logInTo(harness, preset, TARGET)
}

function discover(harness: LoginHarness, preset: LoginPreset): LoginStep[] {
  return logInTo(harness, preset, undefined)
}

function logInTo(harness: LoginHarness, preset: LoginPreset, targetName: string | undefined): LoginStep[] {
  const { initiatorTaskTag, cid, cmdSn, isid } = preset
  const fields = { initiatorTaskTag, cid, cmdSn, isid }
  const first = preset.first({ initiatorName: preset.initiatorName, targetName, authMethod: 'None' })
  const keys = targetName === undefined ? preset.discovery : preset.normal
  if (preset.skipsSecurity) {
    return [harness.send({ ...fields, flags: OPERATIONAL_TO_FULL_FEATURE, pairs: [...first, ...keys] })]
  }
  return [
    harness.send({ ...fields, flags: SECURITY_TO_OPERATIONAL, pairs: first }),
    harness.send({ ...fields, flags: OPERATIONAL_TO_FULL_FEATURE, pairs: keys })
  ]
}

describe('a login of Windows', () => {
  // As captured from Windows Server 2003; the text is 142 (8Eh) bytes, its two bytes of padding are not part of it.
  const bhs = Buffer.from(
    '438100000000008e40000137000000000000000100010000000000010000000000000000000000000000000000000000',
    'hex'
  )
  const text = Buffer.from(
    'InitiatorName=iqn.1991-05.com.microsoft:win2003s\0SessionType=Normal\0' +
      'TargetName=iqn.2001-04.com.example:storage.disk2.sys1.lbd\0AuthMethod=None\0'
  )

  it('is answered byte for byte', () => {
    expect(text).toHaveLength(0x8e)
    const harness = new LoginHarness()
    const first = replyOf(harness.sendBytes(bhs, text))
    expect([first.flags, first.status, first.tsih, first.initiatorTaskTag]).toEqual([0x81, 0, 0, 1])
    expect(first.isid.toString('hex')).toBe('400001370000')
    expect(first.data.toString()).toBe('AuthMethod=None\0TargetPortalGroupTag=1\0')

    const second = Buffer.from(bhs)
    second[1] = 0x87
    const step = harness.sendBytes(second, textOf(WINDOWS.normal))
    expect(replyOf(step).flags).toBe(0x87)
    expect(replyOf(step).data.toString().split('\0')).toEqual([
      'HeaderDigest=None',
      'DataDigest=None',
      'ErrorRecoveryLevel=0',
      'InitialR2T=No',
      'ImmediateData=Yes',
      'MaxBurstLength=262144',
      'FirstBurstLength=65536',
      'MaxConnections=1',
      'DataPDUInOrder=Yes',
      'DataSequenceInOrder=Yes',
      'DefaultTime2Wait=2',
      'DefaultTime2Retain=0',
      'MaxOutstandingR2T=16',
      'MaxRecvDataSegmentLength=262144',
      ''
    ])
    expect(admitted(step)).toEqual({
      sessionType: 'Normal',
      initiatorName: INITIATOR,
      initiatorAlias: undefined,
      targetName: TARGET,
      isid: '400001370000',
      tsih: 0,
      cid: 1,
      cmdSn: 1,
      chapName: undefined,
      parameters: {
        headerDigest: false,
        dataDigest: false,
        maxRecvDataSegmentLength: 262144,
        maxSendDataSegmentLength: 65536,
        maxBurstLength: 262144,
        firstBurstLength: 65536,
        initialR2T: false,
        immediateData: true,
        maxOutstandingR2T: 16,
        maxConnections: 1,
        defaultTime2Wait: 2,
        defaultTime2Retain: 0,
        errorRecoveryLevel: 0
      }
    })
  })

  it('to discover has the 120 bytes and the answers of a discovery session', () => {
    expect(textOf(WINDOWS.discovery)).toHaveLength(120)
    expect(textOf(WINDOWS.normal)).toHaveLength(300)
    const harness = new LoginHarness()
    const [first, last] = discover(harness, WINDOWS)
    expect(replyOf(first!).data.toString()).toBe('AuthMethod=None\0')
    expect(answersOf(last!)).toEqual([
      ['HeaderDigest', 'None'],
      ['DataDigest', 'None'],
      ['DefaultTime2Wait', '2'],
      ['DefaultTime2Retain', '0'],
      ['MaxRecvDataSegmentLength', '262144']
    ])
    expect(admitted(last!)).toMatchObject({ sessionType: 'Discovery', targetName: undefined })
    expect(harness.asked).toEqual([{ initiatorName: INITIATOR, targetName: undefined, remoteAddress: REMOTE }])
  })

  it.each(Array.from({ length: text.length + 1 }, (_, i) => i))(
    'cut after %d bytes of its text gives the same answer',
    (cut) => {
      const harness = new LoginHarness()
      const part = Buffer.from(bhs)
      part[1] = CONTINUES
      const empty = replyOf(harness.sendBytes(part, text.subarray(0, cut)))
      expect([empty.flags, empty.status, empty.data.length]).toEqual([0, 0, 0])
      const whole = replyOf(harness.sendBytes(bhs, text.subarray(cut)))
      expect([whole.flags, whole.data.toString()]).toEqual([0x81, 'AuthMethod=None\0TargetPortalGroupTag=1\0'])
    }
  )
})

describe('a login of other initiators', () => {
  it('open-iscsi is admitted, with an answer to its markers', () => {
    const [, last] = logIn(new LoginHarness(), OPEN_ISCSI)
    expect(answersOf(last!)).toEqual([
      ['HeaderDigest', 'None'],
      ['DataDigest', 'None'],
      ['DefaultTime2Wait', '2'],
      ['DefaultTime2Retain', '0'],
      ['IFMarker', 'No'],
      ['OFMarker', 'No'],
      ['ErrorRecoveryLevel', '0'],
      ['InitialR2T', 'No'],
      ['ImmediateData', 'Yes'],
      ['MaxBurstLength', '1048576'],
      ['FirstBurstLength', '262144'],
      ['MaxOutstandingR2T', '1'],
      ['MaxConnections', '1'],
      ['DataPDUInOrder', 'Yes'],
      ['DataSequenceInOrder', 'Yes'],
      ['MaxRecvDataSegmentLength', '262144']
    ])
    expect(admitted(last!)).toMatchObject({ initiatorAlias: 'linux-pc', cid: 0, cmdSn: 1 })
  })

  it('ESXi goes from its first request to full feature phase, with all tags zero', () => {
    const [only] = logIn(new LoginHarness(), ESXI)
    expect(replyOf(only!).flags).toBe(0x87)
    expect(answersOf(only!).slice(-2)).toEqual([
      ['TargetPortalGroupTag', '1'],
      ['MaxRecvDataSegmentLength', '262144']
    ])
    expect(admitted(only!)).toMatchObject({ initiatorName: ESXI.initiatorName, isid: '00023d000000', cid: 0 })
    const [discovery] = discover(new LoginHarness(), ESXI)
    expect(admitted(discovery!).sessionType).toBe('Discovery')
  })

  it('iPXE is never answered with Reject', () => {
    const steps = logIn(new LoginHarness(), IPXE)
    const values = steps.flatMap(answersOf).map(([, value]) => value)
    expect(values).not.toContain('Reject')
    expect(admitted(steps[1]!).parameters).toMatchObject({
      initialR2T: true,
      immediateData: false,
      maxSendDataSegmentLength: 8192,
      maxOutstandingR2T: 1
    })
  })

  it('FreeBSD names itself last and asks in a discovery session what means nothing there', () => {
    const steps = discover(new LoginHarness(), FREEBSD)
    expect(admitted(steps[1]!).sessionType).toBe('Discovery')
    expect(answersOf(steps[1]!)).toEqual([
      ['HeaderDigest', 'None'],
      ['DataDigest', 'None'],
      ['DefaultTime2Wait', '2'],
      ['DefaultTime2Retain', '0'],
      ['ErrorRecoveryLevel', '0'],
      ['MaxOutstandingR2T', 'Irrelevant'],
      ['MaxRecvDataSegmentLength', '262144']
    ])
    expect(admitted(logIn(new LoginHarness(), FREEBSD)[1]!).targetName).toBe(TARGET)
  })

  const presets: [string, LoginPreset][] = [
    ['Windows', WINDOWS],
    ['open-iscsi', OPEN_ISCSI],
    ['ESXi', ESXI],
    ['iPXE', IPXE],
    ['FreeBSD', FREEBSD],
    ['libiscsi', LIBISCSI]
  ]
  it.each(presets)(`%s may send its keys in any order (seed ${SEED})`, (_, preset) => {
    const random = new Random(SEED)
    for (const targetName of [TARGET, undefined]) {
      const plain = logInTo(new LoginHarness(), preset, targetName)
      for (let run = 0; run < steps(50); run++) {
        const shuffled: LoginPreset = {
          ...preset,
          first: (names) => random.shuffle([...preset.first(names)]),
          normal: random.shuffle([...preset.normal]),
          discovery: random.shuffle([...preset.discovery])
        }
        const steps = logInTo(new LoginHarness(), shuffled, targetName)
        expect(admitted(steps.at(-1)!)).toEqual(admitted(plain.at(-1)!))
        expect(steps.map((step) => new Map(answersOf(step)))).toEqual(plain.map((step) => new Map(answersOf(step))))
      }
    }
  })

  // Found with iscsi-ls and a user in its URL against a target without CHAP.
  it('libiscsi with a secret names itself again when None was chosen', () => {
    const harness = new LoginHarness()
    const first = harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: [...NAMES, ['AuthMethod', 'CHAP,None']] })
    expect(answersOf(first)[0]).toEqual(['AuthMethod', 'None'])
    const last = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: [...NAMES, ...LIBISCSI.normal] })
    expect(admitted(last)).toMatchObject({ initiatorName: INITIATOR, targetName: TARGET, chapName: undefined })
    expect(new Map(answersOf(last)).has('InitiatorName')).toBe(false)
    expect(harness.asked).toHaveLength(1)
  })

  it('is normal when it does not name the type of its session', () => {
    const harness = new LoginHarness()
    const pairs = FIRST.filter(([key]) => key !== 'SessionType')
    expect(outcomeOf(harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs }))).toBe('reply 0000')
    expect(admitted(harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE })).sessionType).toBe('Normal')
  })

  it('is known by the normal form of its names', () => {
    const harness = new LoginHarness()
    const pairs: Pairs = [
      ['InitiatorName', INITIATOR.toUpperCase()],
      ['TargetName', TARGET.toUpperCase()]
    ]
    const result = admitted(harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs }))
    expect([result.initiatorName, result.targetName]).toEqual([INITIATOR, TARGET])
    expect(harness.asked).toEqual([{ initiatorName: INITIATOR, targetName: TARGET, remoteAddress: REMOTE }])
  })
})

describe('stages', () => {
  it('straight from security to full feature phase leaves every default in force', () => {
    const step = new LoginHarness().send({ flags: SECURITY_TO_FULL_FEATURE, pairs: FIRST })
    expect(replyOf(step).flags).toBe(0x83)
    // Nothing was declared, so the initiator sends no more than 8192 bytes in a PDU, and we take no more.
    expect(admitted(step).parameters).toEqual(defaultParameters())
  })

  it('waits in a stage until the initiator wants to leave it', () => {
    const harness = new LoginHarness()
    expect(replyOf(harness.send({ flags: SECURITY, pairs: FIRST })).flags).toBe(0x00)
    expect(replyOf(harness.send({ flags: SECURITY })).flags).toBe(0x00)
    expect(replyOf(harness.send({ flags: SECURITY_TO_OPERATIONAL })).flags).toBe(0x81)
    expect(replyOf(harness.send({ flags: OPERATIONAL, pairs: [['InitialR2T', 'No']] })).flags).toBe(0x04)
    const last = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: [['ImmediateData', 'No']] })
    expect(admitted(last).parameters).toMatchObject({ initialR2T: false, immediateData: false })
  })

  it('declares our MaxRecvDataSegmentLength exactly once', () => {
    const harness = new LoginHarness({ offer: { ...DEFAULT_OFFER, maxRecvDataSegmentLength: 65536 } })
    const steps = [
      harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST }),
      harness.send({ flags: OPERATIONAL }),
      harness.send({ flags: OPERATIONAL, pairs: [['InitialR2T', 'No']] }),
      harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE })
    ]
    expect(steps.map((step) => replyOf(step).data.toString())).toEqual([
      'AuthMethod=None\0TargetPortalGroupTag=1\0',
      'MaxRecvDataSegmentLength=65536\0',
      'InitialR2T=No\0',
      ''
    ])
    expect(admitted(steps[3]!).parameters.maxRecvDataSegmentLength).toBe(65536)
  })

  it('gives the alias of a target that has one, in a normal session', () => {
    const harness = new LoginHarness({ targetAlias: 'Class room' })
    expect(answersOf(harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST }))).toEqual([
      ['AuthMethod', 'None'],
      ['TargetPortalGroupTag', '1'],
      ['TargetAlias', 'Class room']
    ])
    expect(answersOf(discover(new LoginHarness({ targetAlias: 'Class room' }), WINDOWS)[0]!)).toEqual([
      ['AuthMethod', 'None']
    ])
  })

  it('takes a target name in a discovery session for what it is', () => {
    const pairs: Pairs = [...FIRST.filter(([key]) => key !== 'SessionType'), ['SessionType', 'Discovery']]
    const step = new LoginHarness().send({ flags: SECURITY_TO_FULL_FEATURE, pairs })
    expect(admitted(step)).toMatchObject({ sessionType: 'Discovery', targetName: TARGET })
    expect(answersOf(step)).toEqual([['AuthMethod', 'None']])
  })

  it('answers AuthMethod=None in the operational stage when the security stage was left out', () => {
    const step = new LoginHarness().send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: FIRST })
    expect(answersOf(step)[0]).toEqual(['AuthMethod', 'None'])
    expect(step.kind).toBe('admit')
  })

  it('rejects an operational key in the security stage', () => {
    const pairs: Pairs = [...FIRST, ['InitialR2T', 'No'], ['SendTargets', 'All'], ['X-com.example.key', '1']]
    const step = new LoginHarness().send({ flags: SECURITY_TO_OPERATIONAL, pairs })
    expect(answersOf(step).slice(1)).toEqual([
      ['InitialR2T', 'Reject'],
      ['SendTargets', 'Reject'],
      ['X-com.example.key', 'NotUnderstood'],
      ['TargetPortalGroupTag', '1']
    ])
  })

  it('does not answer the answers of an initiator that dislikes what we declared', () => {
    const harness = new LoginHarness()
    const pairs: Pairs = [...FIRST, ['TargetAlias', 'NotUnderstood']]
    expect(answersOf(harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs }))).toHaveLength(2)
    const more: Pairs = [
      ['TargetPortalGroupTag', 'Irrelevant'],
      ['X-com.example.key', 'Reject']
    ]
    const last = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: more })
    expect(answersOf(last)).toEqual([['MaxRecvDataSegmentLength', '262144']])
    expect(last.kind).toBe('admit')
  })

  it('makes an alias harmless', () => {
    const pairs: Pairs = [...FIRST, ['InitiatorAlias', 'my\u001b[31m\u202epc\u0007']]
    const harness = new LoginHarness()
    harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs })
    expect(admitted(harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE })).initiatorAlias).toBe('my?[31m?pc?')
  })
})

describe('a text longer than one PDU', () => {
  const unknown: Pairs = Array.from({ length: 250 }, (_, i) => [`X-${String(i).padStart(61, 'a')}`, '1'])
  const expected = unknown.map(([key]) => `${key}=NotUnderstood\0`).join('')

  function take(
    harness: LoginHarness,
    first: LoginStep,
    next: LoginRequestFields
  ): { text: string; last: LoginStep; longest: number } {
    let step = first
    let text = replyOf(step).data.toString()
    let longest = 0
    while (replyOf(step).flags & CONTINUES) {
      longest = Math.max(longest, replyOf(step).data.length)
      expect(replyOf(step).flags).toBe(CONTINUES | OPERATIONAL)
      step = harness.send(next)
      text += replyOf(step).data.toString()
    }
    return { text, last: step, longest }
  }

  it('of ours is sent in parts of 8192 bytes that empty requests ask for', () => {
    const harness = new LoginHarness()
    harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST })
    const first = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: unknown })
    expect(first.kind).toBe('reply')
    const { text, last, longest } = take(harness, first, { flags: OPERATIONAL_TO_FULL_FEATURE })
    expect(text).toBe(`${expected}MaxRecvDataSegmentLength=262144\0`)
    expect(longest).toBe(8192)
    expect(admitted(last).targetName).toBe(TARGET)
    expect(replyOf(last).flags).toBe(0x87)
  })

  it('of ours obeys what the initiator declared', () => {
    const harness = new LoginHarness()
    harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST })
    const pairs: Pairs = [['MaxRecvDataSegmentLength', '512'], ...unknown.slice(0, 60)]
    const first = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs })
    const { text, last, longest } = take(harness, first, { flags: OPERATIONAL_TO_FULL_FEATURE })
    expect(text.startsWith(expected.slice(0, 60 * 78))).toBe(true)
    expect(longest).toBe(512)
    expect(last.kind).toBe('admit')
  })

  it('of ours does not lead on when the last request does not ask to', () => {
    const harness = new LoginHarness()
    harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST })
    const first = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: unknown })
    const { last } = take(harness, first, { flags: OPERATIONAL })
    expect([last.kind, replyOf(last).flags]).toEqual(['reply', 0x04])
    expect(harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE }).kind).toBe('admit')
  })

  it.each([
    ['text', { flags: OPERATIONAL_TO_FULL_FEATURE, pairs: [['InitialR2T', 'No']] as Pairs }],
    ['a C bit', { flags: OPERATIONAL | CONTINUES }]
  ])('of ours ends the login when %s comes in between', (_, fields) => {
    const harness = new LoginHarness()
    harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: FIRST })
    harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: unknown })
    expect(outcomeOf(harness.send(fields))).toBe('fail 0200')
  })

  it('of the initiator may be 64 KiB long in all', () => {
    const value = 'x'.repeat(8000)
    const data = textOf([...FIRST, ...Array.from({ length: 8 }, (_, i) => [`X-${i}`, value] as const)])
    const harness = new LoginHarness()
    for (let offset = 0; offset < data.length; offset += 8192) {
      const isLast = offset + 8192 >= data.length
      const flags = isLast ? SECURITY_TO_OPERATIONAL : CONTINUES
      const step = harness.send({ flags, data: data.subarray(offset, offset + 8192) })
      expect(outcomeOf(step)).toBe('reply 0000')
      if (isLast) expect(answersOf(step)).toHaveLength(10)
    }
  })

  it('of the initiator ends the login one byte above 64 KiB', () => {
    const harness = new LoginHarness()
    for (let i = 0; i < 8; i++) {
      expect(outcomeOf(harness.send({ flags: CONTINUES, data: Buffer.alloc(8192, 'x') }))).toBe('reply 0000')
    }
    expect(outcomeOf(harness.send({ flags: CONTINUES, data: Buffer.alloc(1, 'x') }))).toBe('fail 0200')
  })

  it('of the initiator ends the login after 100 requests, even of no bytes', () => {
    const harness = new LoginHarness()
    for (let i = 0; i < 100; i++) expect(outcomeOf(harness.send({ flags: CONTINUES }))).toBe('reply 0000')
    expect(outcomeOf(harness.send({ flags: CONTINUES }))).toBe('fail 0200')
  })
})

/** The requests of one bad login; all but the last are answered with success. */
interface BadLogin {
  readonly name: string
  readonly requests: readonly LoginRequestFields[]
  readonly outcome: string
  readonly options?: ConstructorParameters<typeof LoginHarness>[0]
}

const GO: LoginRequestFields = { flags: SECURITY_TO_OPERATIONAL, pairs: FIRST }

function withName(key: string, value: string): LoginRequestFields {
  return { flags: SECURITY_TO_OPERATIONAL, pairs: FIRST.map((pair) => (pair[0] === key ? [key, value] : pair)) }
}

function without(key: string): LoginRequestFields {
  return { flags: SECURITY_TO_OPERATIONAL, pairs: FIRST.filter(([name]) => name !== key) }
}

function textWith(tail: string | Buffer): LoginRequestFields {
  return { flags: SECURITY_TO_OPERATIONAL, data: Buffer.concat([textOf(FIRST), Buffer.from(tail)]) }
}

const REQUIRED_CHAP: ChapPolicy = {
  required: true,
  available: true,
  initiatorSecret: (name) => (name === 'alice' ? Buffer.from('twelve-chars') : undefined),
  mutual: undefined
}

const BAD_LOGINS: BadLogin[] = [
  // Not a login at all.
  { name: 'a SCSI Command comes first', requests: [{ flags: 0x81, opcode: 0x01 }], outcome: 'close' },
  { name: 'a Text Request comes first', requests: [{ flags: 0x80, opcode: 0x44 }], outcome: 'close' },
  { name: 'a NOP-Out comes first', requests: [{ flags: 0x80, opcode: 0x40 }], outcome: 'close' },
  { name: 'a Logout comes first', requests: [{ flags: 0x80, opcode: 0x46 }], outcome: 'close' },
  { name: 'a Login Response comes first', requests: [{ flags: 0x81, opcode: 0x23 }], outcome: 'close' },
  { name: 'a SCSI Command comes second', requests: [GO, { flags: 0x81, opcode: 0x01 }], outcome: 'close' },
  {
    name: 'a request follows the end of the login',
    requests: [{ ...GO, flags: SECURITY_TO_FULL_FEATURE }, { flags: OPERATIONAL }],
    outcome: 'close'
  },
  { name: 'a request follows a failure', requests: [without('TargetName'), GO], outcome: 'close' },
  // Version.
  { name: 'the lowest version is 1', requests: [{ ...GO, versionMax: 1, versionMin: 1 }], outcome: 'fail 0205' },
  { name: 'the version rises later', requests: [GO, { flags: OPERATIONAL, versionMin: 1 }], outcome: 'fail 0205' },
  // Stages.
  { name: 'it starts in stage 2', requests: [{ ...GO, flags: 0x8b }], outcome: 'fail 0200' },
  { name: 'it starts in stage 3', requests: [{ ...GO, flags: 0x0c }], outcome: 'fail 0200' },
  { name: 'it wants to go to stage 2', requests: [{ ...GO, flags: 0x82 }], outcome: 'fail 0200' },
  { name: 'it wants to stay with T', requests: [{ ...GO, flags: 0x80 }], outcome: 'fail 0200' },
  { name: 'it wants to go back', requests: [{ ...GO, flags: 0x84 }], outcome: 'fail 0200' },
  {
    name: 'it wants to stay in the operational stage with T',
    requests: [{ ...GO, flags: 0x85 }],
    outcome: 'fail 0200'
  },
  { name: 'T and C are set', requests: [{ ...GO, flags: 0xc1 }], outcome: 'fail 0200' },
  { name: 'it goes on in the stage that it left', requests: [GO, { flags: SECURITY }], outcome: 'fail 0200' },
  {
    name: 'it goes on in a stage that it has not reached',
    requests: [{ ...GO, flags: SECURITY }, { flags: OPERATIONAL }],
    outcome: 'fail 0200'
  },
  // Text.
  { name: 'the last pair has no NUL', requests: [textWith('HeaderDigest=None')], outcome: 'fail 0200' },
  { name: 'a pair has no equals sign', requests: [textWith('HeaderDigest\0')], outcome: 'fail 0200' },
  { name: 'a key is empty', requests: [textWith('=None\0')], outcome: 'fail 0200' },
  { name: 'a key has 64 bytes', requests: [textWith(`X-${'k'.repeat(62)}=1\0`)], outcome: 'fail 0200' },
  { name: 'a value has 8193 bytes', requests: [textWith(`X-a=${'v'.repeat(8193)}\0`)], outcome: 'fail 0200' },
  { name: 'a key is no UTF-8', requests: [textWith(Buffer.from('582dff3d3100', 'hex'))], outcome: 'fail 0200' },
  {
    name: '10000 keys come',
    requests: [textWith(Array.from({ length: 10_000 }, (_, i) => `${i}=\0`).join(''))],
    outcome: 'fail 0200'
  },
  {
    name: 'the alias has 256 bytes',
    requests: [textWith(`InitiatorAlias=${'a'.repeat(256)}\0`)],
    outcome: 'fail 0200'
  },
  // Keys.
  { name: 'a key comes twice', requests: [textWith('AuthMethod=None\0')], outcome: 'fail 0200' },
  { name: 'an unknown key comes twice', requests: [textWith('X-a=1\0X-a=1\0')], outcome: 'fail 0200' },
  {
    name: 'a key comes in two texts',
    requests: [
      GO,
      { flags: OPERATIONAL, pairs: [['InitialR2T', 'No']] },
      { flags: OPERATIONAL, pairs: [['InitialR2T', 'Yes']] }
    ],
    outcome: 'fail 0200'
  },
  {
    name: 'MaxRecvDataSegmentLength is 511',
    requests: [GO, { flags: OPERATIONAL, pairs: [['MaxRecvDataSegmentLength', '511']] }],
    outcome: 'fail 0200'
  },
  {
    name: 'MaxRecvDataSegmentLength is 16777216',
    requests: [GO, { flags: OPERATIONAL, pairs: [['MaxRecvDataSegmentLength', '16777216']] }],
    outcome: 'fail 0200'
  },
  {
    name: 'MaxRecvDataSegmentLength comes in the security stage',
    requests: [textWith('MaxRecvDataSegmentLength=8192\0')],
    outcome: 'fail 0200'
  },
  {
    name: 'FirstBurstLength is above MaxBurstLength',
    requests: [
      GO,
      {
        flags: OPERATIONAL,
        pairs: [
          ['MaxBurstLength', '65536'],
          ['FirstBurstLength', '65537']
        ]
      }
    ],
    outcome: 'fail 0200'
  },
  {
    name: 'Irrelevant is proposed',
    requests: [GO, { flags: OPERATIONAL, pairs: [['ErrorRecoveryLevel', 'Irrelevant']] }],
    outcome: 'fail 0200'
  },
  { name: 'the initiator declares a target alias', requests: [textWith('TargetAlias=disk\0')], outcome: 'fail 0200' },
  {
    name: 'the target is named in the second request',
    requests: [
      {
        flags: SECURITY,
        pairs: [
          ['InitiatorName', INITIATOR],
          ['SessionType', 'Discovery']
        ]
      },
      { flags: SECURITY, pairs: [['TargetName', TARGET]] }
    ],
    outcome: 'fail 0200'
  },
  {
    name: 'a name is said again, in two spellings',
    requests: [GO, { flags: OPERATIONAL, pairs: [['InitiatorName', INITIATOR.toUpperCase()]] }],
    outcome: 'fail 0200'
  },
  {
    name: 'a name is said again, twice',
    requests: [
      GO,
      {
        flags: OPERATIONAL,
        pairs: [
          ['TargetName', TARGET],
          ['TargetName', TARGET]
        ]
      }
    ],
    outcome: 'fail 0200'
  },
  { name: 'a name comes twice in one text', requests: [textWith(`TargetName=${TARGET}\0`)], outcome: 'fail 0200' },
  {
    name: 'the session type changes',
    requests: [GO, { flags: OPERATIONAL, pairs: [['SessionType', 'Discovery']] }],
    outcome: 'fail 0200'
  },
  {
    name: 'another initiator is named in the second request',
    requests: [GO, { flags: OPERATIONAL, pairs: [['InitiatorName', 'iqn.2001-04.com.example:other']] }],
    outcome: 'fail 0200'
  },
  // Names.
  { name: 'nothing is said', requests: [{ flags: SECURITY_TO_OPERATIONAL }], outcome: 'fail 0207' },
  { name: 'InitiatorName is missing', requests: [without('InitiatorName')], outcome: 'fail 0207' },
  { name: 'InitiatorName is empty', requests: [withName('InitiatorName', '')], outcome: 'fail 0207' },
  { name: 'TargetName is missing', requests: [without('TargetName')], outcome: 'fail 0207' },
  { name: 'TargetName is empty', requests: [withName('TargetName', '')], outcome: 'fail 0207' },
  ...['..', '../../etc/passwd', '__proto__', `${INITIATOR}/x`, `iqn.2001-04.com.example:${'a'.repeat(200)}`].flatMap(
    (name): BadLogin[] => [
      { name: `InitiatorName is ${name}`, requests: [withName('InitiatorName', name)], outcome: 'fail 0200' },
      { name: `TargetName is ${name}`, requests: [withName('TargetName', name)], outcome: 'fail 0203' }
    ]
  ),
  {
    name: 'no target has the name',
    requests: [withName('TargetName', 'iqn.2001-04.com.example:other')],
    outcome: 'fail 0203'
  },
  { name: 'the session type is unknown', requests: [withName('SessionType', 'Bogus')], outcome: 'fail 0209' },
  { name: 'the session type is empty', requests: [withName('SessionType', '')], outcome: 'fail 0209' },
  { name: 'the session type has another case', requests: [withName('SessionType', 'normal')], outcome: 'fail 0209' },
  { name: 'the access list forbids it', requests: [GO], outcome: 'fail 0202', options: { forbidden: true } },
  // Sessions.
  { name: 'the TSIH is unknown', requests: [{ ...GO, tsih: 7 }], outcome: 'fail 020a' },
  {
    name: 'the TSIH is that of another initiator',
    requests: [{ ...GO, tsih: 7 }],
    outcome: 'fail 020a',
    options: { hasSession: (tsih, name) => tsih === 7 && name === 'iqn.2001-04.com.example:other' }
  },
  {
    name: 'a second connection is wanted',
    requests: [{ ...GO, tsih: 7 }],
    outcome: 'fail 0206',
    options: { hasSession: (tsih, name, isid) => tsih === 7 && name === INITIATOR && isid === '400001370000' }
  },
  { name: 'the TSIH changes', requests: [GO, { flags: OPERATIONAL, tsih: 7 }], outcome: 'fail 0200' },
  { name: 'the ISID changes', requests: [GO, { flags: OPERATIONAL, isid: '400001370001' }], outcome: 'fail 0200' },
  { name: 'the task tag changes', requests: [GO, { flags: OPERATIONAL, initiatorTaskTag: 2 }], outcome: 'fail 0200' },
  { name: 'the CID changes', requests: [GO, { flags: OPERATIONAL, cid: 2 }], outcome: 'fail 0200' },
  {
    name: 'the ISID changes within a text',
    requests: [
      { flags: CONTINUES, pairs: NAMES },
      { ...GO, pairs: [['AuthMethod', 'None']], isid: '400001370001' }
    ],
    outcome: 'fail 0200'
  },
  // CHAP is required.
  {
    name: 'it starts without the security stage',
    requests: [{ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: NAMES }],
    outcome: 'fail 0201',
    options: { chap: REQUIRED_CHAP }
  },
  {
    name: 'it proposes no method but None',
    requests: [{ ...GO, flags: SECURITY_TO_FULL_FEATURE }],
    outcome: 'fail 0201',
    options: { chap: REQUIRED_CHAP }
  },
  {
    name: 'it proposes no method and wants to leave',
    requests: [{ flags: SECURITY_TO_FULL_FEATURE, pairs: NAMES }],
    outcome: 'fail 0201',
    options: { chap: REQUIRED_CHAP }
  },
  {
    name: 'its name proves nothing',
    requests: [
      { flags: SECURITY, pairs: [...NAMES, ['AuthMethod', 'CHAP']] },
      { flags: SECURITY, pairs: [['CHAP_A', '5']] },
      {
        flags: SECURITY_TO_OPERATIONAL,
        pairs: [
          ['CHAP_N', 'alice'],
          ['CHAP_R', `0x${'00'.repeat(16)}`]
        ]
      }
    ],
    outcome: 'fail 0201',
    options: { chap: REQUIRED_CHAP }
  },
  {
    name: 'CHAP_R comes twice',
    requests: [
      { flags: SECURITY, pairs: [...NAMES, ['AuthMethod', 'CHAP']] },
      { flags: SECURITY, pairs: [['CHAP_A', '5']] },
      {
        flags: SECURITY,
        pairs: [
          ['CHAP_R', '0x00'],
          ['CHAP_R', '0x00']
        ]
      }
    ],
    outcome: 'fail 0201',
    options: { chap: REQUIRED_CHAP }
  }
]

describe('a login is refused when', () => {
  it.each(BAD_LOGINS)('$name: $outcome', ({ requests, outcome, options }) => {
    const harness = new LoginHarness(options)
    const steps = requests.map((fields) => harness.send(fields))
    expect(outcomeOf(steps.at(-1)!)).toBe(outcome)
    if (outcome !== 'close') {
      for (const step of steps.slice(0, -1)) expect(outcomeOf(step)).toBe('reply 0000')
      const reply = replyOf(steps.at(-1)!)
      const { isid, tsih, initiatorTaskTag } = requests.at(-1)!
      expect([reply.flags, reply.data.length]).toEqual([0, 0])
      expect([reply.isid.toString('hex'), reply.tsih]).toEqual([isid ?? '400001370000', tsih ?? 0])
      expect(reply.initiatorTaskTag).toBe(initiatorTaskTag ?? 1)
    }
    const end = steps.at(-1)!
    expect('message' in end && end.message).toMatch(/^[\x20-\x7e…]{5,200}$/)
  })

  it('knows for the log who it was that failed', () => {
    const harness = new LoginHarness({ forbidden: true })
    expect([harness.machine.initiatorName, harness.machine.isid]).toEqual([undefined, undefined])
    harness.send(GO)
    const { initiatorName, targetName, isid } = harness.machine
    expect([initiatorName, targetName, isid]).toEqual([INITIATOR, TARGET, '400001370000'])
    const lost = new LoginHarness()
    lost.send(withName('TargetName', 'iqn.2001-04.com.example:other'))
    expect([lost.machine.initiatorName, lost.machine.targetName]).toEqual([INITIATOR, undefined])
  })

  it('admission was refused: the reply is that of the last request', () => {
    const harness = new LoginHarness()
    const [, last] = logIn(harness, WINDOWS)
    expect(last!.kind).toBe('admit')
    const reply = harness.machine.refuse(0x0301)
    expect([reply.flags, reply.status, reply.initiatorTaskTag, reply.data.length]).toEqual([0, 0x0301, 1, 0])
    expect(harness.send({ flags: OPERATIONAL }).kind).toBe('close')
  })
})

describe('CHAP', () => {
  const secret = 'twelve-chars'
  const targetSecret = 'another-secret'
  const policy: ChapPolicy = {
    ...REQUIRED_CHAP,
    mutual: { chapName: 'the-target', secret: Buffer.from(targetSecret) }
  }

  /** RFC 1994 with MD5. */
  function respond(identifier: number, key: string, challenge: Buffer): string {
    return createHash('md5')
      .update(Buffer.concat([Buffer.of(identifier), Buffer.from(key), challenge]))
      .digest('hex')
  }

  function bytesOf(answers: Pairs, key: string): Buffer {
    return Buffer.from(new Map(answers).get(key)!.slice(2), 'hex')
  }

  function ask(harness: LoginHarness): { identifier: number; challenge: Buffer } {
    // Windows asks to leave the stage at once; the answer is that it stays.
    const first = harness.send({ flags: SECURITY_TO_OPERATIONAL, pairs: [...NAMES, ['AuthMethod', 'CHAP']] })
    expect([replyOf(first).flags, answersOf(first)]).toEqual([
      0x00,
      [
        ['AuthMethod', 'CHAP'],
        ['TargetPortalGroupTag', '1']
      ]
    ])
    const step = harness.send({ flags: SECURITY, pairs: [['CHAP_A', '5']] })
    expect(replyOf(step).flags).toBe(0x00)
    const answers = answersOf(step)
    expect(answers.map(([key]) => key)).toEqual(['CHAP_A', 'CHAP_I', 'CHAP_C'])
    return { identifier: Number(answers[1]![1]), challenge: bytesOf(answers, 'CHAP_C') }
  }

  it('admits who proves to know the secret, and says under which name', () => {
    const harness = new LoginHarness({ chap: policy })
    const { identifier, challenge } = ask(harness)
    expect(challenge).toHaveLength(16)
    const proved = harness.send({
      flags: SECURITY_TO_OPERATIONAL,
      pairs: [
        ['CHAP_N', 'alice'],
        ['CHAP_R', `0x${respond(identifier, secret, challenge)}`]
      ]
    })
    expect([replyOf(proved).flags, replyOf(proved).data.length]).toEqual([0x81, 0])
    const last = harness.send({ flags: OPERATIONAL_TO_FULL_FEATURE, pairs: WINDOWS.normal })
    expect(admitted(last).chapName).toBe('alice')
  })

  it('proves the target to an initiator that asks', () => {
    const harness = new LoginHarness({ chap: policy })
    const { identifier, challenge } = ask(harness)
    const question = Buffer.from('0123456789abcdef')
    const step = harness.send({
      flags: SECURITY_TO_FULL_FEATURE,
      pairs: [
        ['CHAP_I', '42'],
        ['CHAP_C', `0x${question.toString('hex')}`],
        ['CHAP_R', `0x${respond(identifier, secret, challenge)}`],
        ['CHAP_N', 'alice']
      ]
    })
    expect(answersOf(step)).toEqual([
      ['CHAP_N', 'the-target'],
      ['CHAP_R', `0x${respond(42, targetSecret, question)}`]
    ])
    expect([replyOf(step).flags, admitted(step).chapName]).toEqual([0x83, 'alice'])
  })

  it('gives every login a challenge of its own', () => {
    const challenges = Array.from({ length: 20 }, () => ask(new LoginHarness({ chap: policy })).challenge)
    expect(new Set(challenges.map((challenge) => challenge.toString('hex'))).size).toBe(20)
  })

  it('does not let the proof of one login serve in another', () => {
    const once = new LoginHarness({ chap: policy })
    const { identifier, challenge } = ask(once)
    const pairs: Pairs = [
      ['CHAP_N', 'alice'],
      ['CHAP_R', `0x${respond(identifier, secret, challenge)}`]
    ]
    const again = new LoginHarness({ chap: policy })
    ask(again)
    expect(outcomeOf(again.send({ flags: SECURITY_TO_OPERATIONAL, pairs }))).toBe('fail 0201')
    expect(outcomeOf(once.send({ flags: SECURITY_TO_OPERATIONAL, pairs }))).toBe('reply 0000')
  })

  it.each(['this connection', 'another connection'])('does not answer a challenge that it sent on %s', (where) => {
    const challenges = new IssuedChallenges()
    const other = ask(new LoginHarness({ chap: policy, challenges }))
    const harness = new LoginHarness({ chap: policy, challenges })
    const own = ask(harness)
    const reflected = where === 'this connection' ? own : other
    const step = harness.send({
      flags: SECURITY_TO_OPERATIONAL,
      pairs: [
        ['CHAP_N', 'alice'],
        ['CHAP_R', `0x${respond(own.identifier, secret, own.challenge)}`],
        ['CHAP_I', String(reflected.identifier)],
        ['CHAP_C', `0x${reflected.challenge.toString('hex')}`]
      ]
    })
    expect(outcomeOf(step)).toBe('fail 0201')
  })

  it('stays in the stage as long as nothing is proved', () => {
    const harness = new LoginHarness({ chap: policy })
    ask(harness)
    for (let i = 0; i < 98; i++) {
      const step = harness.send({ flags: SECURITY_TO_FULL_FEATURE })
      expect([outcomeOf(step), replyOf(step).flags]).toEqual(['reply 0000', 0x00])
    }
    expect(outcomeOf(harness.send({ flags: SECURITY_TO_FULL_FEATURE }))).toBe('fail 0200')
  })
})

describe('any bytes', () => {
  it(`of a login are answered and never admit without their due (seed ${SEED})`, () => {
    const random = new Random(SEED)
    const kinds = new Map<string, number>()
    for (let run = 0; run < steps(1500); run++) {
      const harness = new LoginHarness(random.chance(0.5) ? { chap: REQUIRED_CHAP } : {})
      const requests = mutatedLogin(random)
      for (const { flags, data } of requests) {
        const step = harness.send({ flags, data, tsih: random.chance(0.02) ? 1 : 0 })
        kinds.set(outcomeOf(step), (kinds.get(outcomeOf(step)) ?? 0) + 1)
        if (step.kind !== 'close') {
          assert(step.reply.data.length <= 8192)
          assert.equal(step.kind === 'fail', step.reply.status !== 0)
        }
        if (step.kind === 'admit') {
          assert.match(step.result.initiatorName, /^iqn\./)
          assert(step.result.sessionType === 'Discovery' || step.result.targetName === TARGET)
          const { parameters } = step.result
          assert(parameters.firstBurstLength <= parameters.maxBurstLength)
          assert(parameters.maxSendDataSegmentLength >= 512)
        }
        if (step.kind === 'fail') break
      }
    }
    // All ways were gone, or the run says nothing.
    expect([...kinds.keys()]).toEqual(expect.arrayContaining(['reply 0000', 'admit 0000', 'fail 0200', 'fail 0201']))
  })

  it(`never admit where CHAP is required and no one proves anything (seed ${SEED})`, () => {
    const random = new Random(SEED + 1)
    for (let run = 0; run < steps(1500); run++) {
      const harness = new LoginHarness({ chap: REQUIRED_CHAP })
      for (const fields of mutatedLogin(random)) assert.notEqual(harness.send(fields).kind, 'admit', `run ${run}`)
    }
  })
})

const TOKENS = [
  ...['CHAP_A=5\0', 'CHAP_N=alice\0', 'CHAP_R=0x00\0', 'CHAP_I=1\0', 'CHAP_C=0x01\0', 'AuthMethod=CHAP,None\0'],
  ...['SessionType=Discovery\0', 'MaxBurstLength=0x200\0', 'FirstBurstLength=99999999\0', '\0', '=', ',', '~', '\xff'],
  ...['X-a=1\0', 'HeaderDigest=CRC32C\0', 'MaxRecvDataSegmentLength=512\0', 'InitialR2T=NotUnderstood\0']
]

/** A login of Windows with some of its bytes, pairs and flags changed. */
function mutatedLogin(random: Random): { flags: number; data: Buffer }[] {
  const texts = [
    { flags: SECURITY_TO_OPERATIONAL, pairs: [...FIRST] },
    { flags: OPERATIONAL_TO_FULL_FEATURE, pairs: [...WINDOWS.normal] }
  ]
  const requests = texts.map(({ flags, pairs }) => ({ flags, data: textOf(random.shuffle(pairs)) }))
  const changes = random.int(4)
  for (let i = 0; i < changes; i++) {
    const index = random.int(requests.length)
    const request = requests[index]!
    const at = random.int(request.data.length + 1)
    switch (random.int(6)) {
      case 0:
        request.flags = random.int(256)
        break
      case 1:
        request.data[at] = random.int(256)
        break
      case 2:
        request.data = request.data.subarray(0, at)
        break
      case 3:
        request.data = Buffer.concat([
          request.data.subarray(0, at),
          Buffer.from(random.pick(TOKENS), 'latin1'),
          request.data.subarray(at)
        ])
        break
      case 4:
        request.data = Buffer.concat([request.data, Buffer.from(random.pick(TOKENS), 'latin1')])
        break
      case 5:
        requests.splice(
          index,
          1,
          { flags: CONTINUES | (request.flags & 0x0c), data: request.data.subarray(0, at) },
          { flags: request.flags, data: request.data.subarray(at) }
        )
    }
  }
  return requests
}
