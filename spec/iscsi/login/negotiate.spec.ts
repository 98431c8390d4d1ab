import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { LoginError } from '../../../lib/iscsi/errors.js'
import { negotiate, negotiateText, type Negotiation } from '../../../lib/iscsi/login/negotiate.js'
import { DEFAULT_OFFER, defaultParameters, type OfferedParameters } from '../../../lib/iscsi/parameters.js'
import { PduError } from '../../../lib/pdu/errors.js'
import { WINDOWS } from '../../support/login-presets.js'
import { Random, seedOf, steps } from '../../support/random.js'

const SEED = seedOf(7002)

/** Unlike the defaults of the standard in every point, so that a result shows where it comes from. */
const OFFER: OfferedParameters = {
  maxRecvDataSegmentLength: 131072,
  maxBurstLength: 524288,
  firstBurstLength: 131072,
  initialR2T: false,
  immediateData: true,
  maxOutstandingR2T: 8,
  headerDigest: ['None', 'CRC32C'],
  dataDigest: ['None', 'CRC32C']
}

function negotiation(offer: Partial<OfferedParameters> = {}, discovery = false): Negotiation {
  return { offer: { ...OFFER, ...offer }, discovery, parameters: defaultParameters(), proposed: new Map() }
}

function answer(key: string, value: string, offer: Partial<OfferedParameters> = {}): string | undefined {
  return negotiate([[key, value]], negotiation(offer))[0]?.[1]
}

describe('negotiate', () => {
  it.each([
    // Proposal, answer.
    ['HeaderDigest', 'None', 'None'],
    ['HeaderDigest', 'CRC32C', 'CRC32C'],
    ['HeaderDigest', 'None,CRC32C', 'None'],
    ['HeaderDigest', 'CRC32C,None', 'CRC32C'],
    ['HeaderDigest', 'X-sum,CRC32C', 'CRC32C'],
    ['HeaderDigest', 'X-sum', 'Reject'],
    ['HeaderDigest', 'crc32c', 'Reject'],
    ['HeaderDigest', '', 'Reject'],
    ['HeaderDigest', 'None,', 'Reject'],
    ['DataDigest', 'CRC32C,None', 'CRC32C'],
    ['MaxConnections', '32', '1'],
    ['MaxConnections', '65535', '1'],
    ['MaxConnections', '65536', 'Reject'],
    ['MaxConnections', '0', 'Reject'],
    ['InitialR2T', 'No', 'No'],
    ['InitialR2T', 'Yes', 'Yes'],
    ['InitialR2T', 'yes', 'Reject'],
    ['ImmediateData', 'Yes', 'Yes'],
    ['ImmediateData', 'No', 'No'],
    ['ImmediateData', '1', 'Reject'],
    ['MaxBurstLength', '512', '512'],
    ['MaxBurstLength', '511', 'Reject'],
    ['MaxBurstLength', '16777215', '524288'],
    ['MaxBurstLength', '16777216', 'Reject'],
    ['MaxBurstLength', '0x10000', '65536'],
    ['FirstBurstLength', '65536', '65536'],
    ['FirstBurstLength', '262144', '131072'],
    ['FirstBurstLength', '16777215', '131072'],
    ['FirstBurstLength', '511', 'Reject'],
    ['DefaultTime2Wait', '0', '2'],
    ['DefaultTime2Wait', '3', '3'],
    ['DefaultTime2Wait', '3600', '3600'],
    ['DefaultTime2Wait', '3601', 'Reject'],
    ['DefaultTime2Retain', '0', '0'],
    ['DefaultTime2Retain', '60', '0'],
    ['DefaultTime2Retain', '3601', 'Reject'],
    ['MaxOutstandingR2T', '1', '1'],
    ['MaxOutstandingR2T', '16', '8'],
    ['MaxOutstandingR2T', '0', 'Reject'],
    ['MaxOutstandingR2T', '65536', 'Reject'],
    ['DataPDUInOrder', 'Yes', 'Yes'],
    ['DataPDUInOrder', 'No', 'Yes'],
    ['DataPDUInOrder', 'Maybe', 'Reject'],
    ['DataSequenceInOrder', 'Yes', 'Yes'],
    ['DataSequenceInOrder', 'No', 'Yes'],
    ['ErrorRecoveryLevel', '2', '0'],
    ['ErrorRecoveryLevel', '0', '0'],
    ['ErrorRecoveryLevel', '3', 'Reject'],
    ['TaskReporting', 'FastAbort,ResponseFence,RFC3720', 'RFC3720'],
    ['TaskReporting', 'FastAbort', 'Reject'],
    ['iSCSIProtocolLevel', '2', '1'],
    ['iSCSIProtocolLevel', '0', '0'],
    ['iSCSIProtocolLevel', '32', 'Reject'],
    ['IFMarker', 'No', 'No'],
    ['OFMarker', 'Yes', 'No'],
    ['IFMarkInt', '2048~8192', 'Reject'],
    ['OFMarkInt', '1', 'Reject'],
    ['SendTargets', 'All', 'Reject'],
    ['X-com.example.key', '1', 'NotUnderstood'],
    ['X-com.example.key', '', 'NotUnderstood'],
    ['__proto__', '1', 'NotUnderstood'],
    ['toString', '1', 'NotUnderstood'],
    ['maxburstlength', '512', 'NotUnderstood'],
    ['X-com.example.key', 'NotUnderstood', undefined],
    ['MaxRecvDataSegmentLength', '512', undefined],
    ['MaxRecvDataSegmentLength', '16777215', undefined]
  ])('answers %s=%s with %s', (key, value, expected) => {
    expect(answer(key, value)).toBe(expected)
  })

  it.each(['', ' 1', '1 ', '-1', '+1', '1e3', '1.0', '0x', '0xG', '4294967296', '9'.repeat(5000), '1,2', '1~2', 'Yes'])(
    'rejects MaxOutstandingR2T=%s',
    (value) => {
      expect(answer('MaxOutstandingR2T', value)).toBe('Reject')
    }
  )

  it('leaves the default in force where it rejects', () => {
    const state = negotiation()
    negotiate(
      [
        ['MaxBurstLength', '511'],
        ['InitialR2T', 'Perhaps'],
        ['HeaderDigest', 'X-sum'],
        ['ErrorRecoveryLevel', '-1']
      ],
      state
    )
    expect(state.parameters).toEqual(defaultParameters())
  })

  it('follows an offer that is stricter than the initiator', () => {
    expect(answer('HeaderDigest', 'None,CRC32C', { headerDigest: ['CRC32C'] })).toBe('CRC32C')
    expect(answer('DataDigest', 'CRC32C,None', { dataDigest: ['None'] })).toBe('None')
    expect(answer('InitialR2T', 'No', { initialR2T: true })).toBe('Yes')
    expect(answer('ImmediateData', 'Yes', { immediateData: false })).toBe('No')
  })

  it('settles the parameters', () => {
    const state = negotiation()
    negotiate(
      [
        ['HeaderDigest', 'CRC32C'],
        ['DataDigest', 'CRC32C'],
        ['ErrorRecoveryLevel', '2'],
        ['InitialR2T', 'No'],
        ['ImmediateData', 'No'],
        ['MaxRecvDataSegmentLength', '65536'],
        ['MaxBurstLength', '131072'],
        ['FirstBurstLength', '32768'],
        ['MaxConnections', '32'],
        ['DefaultTime2Wait', '5'],
        ['DefaultTime2Retain', '60'],
        ['MaxOutstandingR2T', '4']
      ],
      state
    )
    expect(state.parameters).toEqual({
      headerDigest: true,
      dataDigest: true,
      maxRecvDataSegmentLength: 8192,
      maxSendDataSegmentLength: 65536,
      maxBurstLength: 131072,
      firstBurstLength: 32768,
      initialR2T: false,
      immediateData: false,
      maxOutstandingR2T: 4,
      maxConnections: 1,
      defaultTime2Wait: 5,
      defaultTime2Retain: 0,
      errorRecoveryLevel: 0
    })
  })

  it.each(['511', '0', '-1', '16777216', '4294967296', '1e4', '0x', '', 'Yes', ' 8192', '9'.repeat(5000)])(
    'ends the login on MaxRecvDataSegmentLength=%s',
    (value) => {
      expect(() => answer('MaxRecvDataSegmentLength', value)).toThrow(expect.objectContaining({ status: 0x0200 }))
    }
  )

  it.each(['Reject', 'Irrelevant', 'NotUnderstood'])('ends the login when %s is proposed', (value) => {
    expect(() => answer('InitialR2T', value)).toThrow(LoginError)
    expect(() => answer('MaxRecvDataSegmentLength', value)).toThrow(expect.objectContaining({ status: 0x0200 }))
  })

  it('never shows more than a part of a value in a message', () => {
    expect(() => answer('MaxRecvDataSegmentLength', 'x'.repeat(8000))).toThrow(/^.{1,150}$/)
  })

  describe('in a discovery session', () => {
    it.each([
      'MaxConnections',
      'InitialR2T',
      'ImmediateData',
      'MaxBurstLength',
      'FirstBurstLength',
      'MaxOutstandingR2T',
      'DataPDUInOrder',
      'DataSequenceInOrder',
      'TaskReporting',
      'iSCSIProtocolLevel'
    ])('answers %s with Irrelevant, whatever its value', (key) => {
      expect(negotiate([[key, '-']], negotiation({}, true))).toEqual([[key, 'Irrelevant']])
    })

    it('answers what counts there too', () => {
      const state = negotiation({}, true)
      expect(negotiate(WINDOWS.discovery, state)).toEqual([
        ['HeaderDigest', 'None'],
        ['DataDigest', 'None'],
        ['DefaultTime2Wait', '2'],
        ['DefaultTime2Retain', '0']
      ])
      expect(state.parameters.maxSendDataSegmentLength).toBe(65536)
    })
  })

  describe('keeps FirstBurstLength within MaxBurstLength', () => {
    it.each([
      // Proposals in this order; the results.
      [[['MaxBurstLength', '32768']], 32768, 32768],
      [[['FirstBurstLength', '131072']], 131072, 262144],
      [
        [
          ['FirstBurstLength', '16384'],
          ['MaxBurstLength', '16384']
        ],
        16384,
        16384
      ],
      [
        [
          ['MaxBurstLength', '16384'],
          ['FirstBurstLength', '16384']
        ],
        16384,
        16384
      ],
      [
        [
          ['FirstBurstLength', '1048576'],
          ['MaxBurstLength', '1048576']
        ],
        131072,
        524288
      ]
    ] as const)('%j gives %d and %d', (pairs, first, burst) => {
      const state = negotiation()
      negotiate(pairs, state)
      expect([state.parameters.firstBurstLength, state.parameters.maxBurstLength]).toEqual([first, burst])
    })

    it('against the default of MaxBurstLength when only the first burst is proposed', () => {
      const state = negotiation({ maxBurstLength: 4194304, firstBurstLength: 4194304 })
      expect(negotiate([['FirstBurstLength', '1048576']], state)).toEqual([['FirstBurstLength', '262144']])
    })

    it('with the result of MaxBurstLength even when that comes behind it', () => {
      const state = negotiation({ maxBurstLength: 4194304, firstBurstLength: 4194304 })
      const pairs = [
        ['FirstBurstLength', '1048576'],
        ['MaxBurstLength', '2097152']
      ] as const
      expect(new Map(negotiate(pairs, state))).toEqual(
        new Map([
          ['FirstBurstLength', '1048576'],
          ['MaxBurstLength', '2097152']
        ])
      )
    })

    it.each([
      [
        [
          ['FirstBurstLength', '65536'],
          ['MaxBurstLength', '32768']
        ]
      ],
      [
        [
          ['MaxBurstLength', '32768'],
          ['FirstBurstLength', '65536']
        ]
      ],
      [
        [
          ['MaxBurstLength', '16777214'],
          ['FirstBurstLength', '16777215']
        ]
      ]
    ] as const)('and ends the login on %j', (pairs) => {
      expect(() => negotiate(pairs, negotiation())).toThrow(expect.objectContaining({ status: 0x0200 }))
    })

    it('and ends the login when the two come in two texts', () => {
      const state = negotiation()
      negotiate([['FirstBurstLength', '65536']], state)
      expect(() => negotiate([['MaxBurstLength', '32768']], state)).toThrow(expect.objectContaining({ status: 0x0200 }))
    })

    it(`for random proposals in random texts (seed ${SEED})`, () => {
      const random = new Random(SEED)
      for (let run = 0; run < steps(5000); run++) {
        const [firstBurstLength, maxBurstLength] = [randomLength(random), randomLength(random)].sort((a, b) => a - b)
        const state = negotiation({ firstBurstLength, maxBurstLength })
        const proposals = [randomLength(random), randomLength(random)].sort((a, b) => a - b)
        const texts = random.shuffle([
          [['FirstBurstLength', String(proposals[0])]],
          [['MaxBurstLength', String(proposals[1])]]
        ] as [string, string][][])
        if (random.chance(0.3)) texts.pop()
        const answers = new Map(
          random.chance(0.5) ? negotiate(texts.flat(), state) : texts.flatMap((text) => negotiate(text, state))
        )
        const { parameters } = state
        assert(parameters.firstBurstLength <= parameters.maxBurstLength, `run ${run}`)
        // What was answered is what holds.
        assert.equal(
          Number(answers.get('FirstBurstLength') ?? parameters.firstBurstLength),
          parameters.firstBurstLength
        )
        assert.equal(Number(answers.get('MaxBurstLength') ?? parameters.maxBurstLength), parameters.maxBurstLength)
      }
    })
  })
})

function randomLength(random: Random): number {
  return 512 + random.int(2 ** (1 + random.int(23)))
}

describe('negotiateText', () => {
  it('takes MaxRecvDataSegmentLength again, without an answer', () => {
    const parameters = { ...defaultParameters(), maxSendDataSegmentLength: 65536 }
    expect(negotiateText([['MaxRecvDataSegmentLength', '16384']], parameters)).toEqual([])
    expect(parameters).toEqual({ ...defaultParameters(), maxSendDataSegmentLength: 16384 })
  })

  it.each(['511', '16777216', '-1', '', 'No'])('refuses MaxRecvDataSegmentLength=%s as a protocol error', (value) => {
    const parameters = defaultParameters()
    const act = (): unknown => negotiateText([['MaxRecvDataSegmentLength', value]], parameters)
    expect(act).toThrow(PduError)
    expect(act).toThrow(expect.objectContaining({ reason: 0x04 }))
    expect(parameters).toEqual(defaultParameters())
  })

  it.each([
    ['MaxBurstLength', '65536', 'Reject'],
    ['HeaderDigest', 'CRC32C', 'Reject'],
    ['ErrorRecoveryLevel', '0', 'Reject'],
    ['InitiatorName', 'iqn.2001-04.com.example:other', 'Reject'],
    ['SessionType', 'Discovery', 'Reject'],
    ['AuthMethod', 'None', 'Reject'],
    ['CHAP_R', '0x00', 'Reject'],
    ['IFMarker', 'No', 'Reject'],
    ['TargetAlias', 'disk', 'Reject'],
    ['X-com.example.key', '1', 'NotUnderstood'],
    ['__proto__', '1', 'NotUnderstood'],
    ['InitiatorAlias', 'my pc', undefined],
    ['TargetAlias', 'NotUnderstood', undefined],
    ['X-com.example.key', 'Reject', undefined]
  ])('answers %s=%s with %s and changes nothing', (key, value, expected) => {
    const parameters = defaultParameters()
    expect(negotiateText([[key, value]], parameters)).toEqual(expected === undefined ? [] : [[key, expected]])
    expect(parameters).toEqual(defaultParameters())
  })

  it('is not shaken by what the login offered', () => {
    expect(DEFAULT_OFFER.maxRecvDataSegmentLength).toBeGreaterThan(8192)
    const parameters = { ...defaultParameters(), maxRecvDataSegmentLength: DEFAULT_OFFER.maxRecvDataSegmentLength }
    negotiateText([['MaxRecvDataSegmentLength', '512']], parameters)
    expect(parameters.maxRecvDataSegmentLength).toBe(DEFAULT_OFFER.maxRecvDataSegmentLength)
  })
})
