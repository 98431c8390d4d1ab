import { describe, expect, it, jest } from '@jest/globals'
import { CAPACITY_CHANGED, NEXUS_LOSS, POWER_ON, type SenseCondition } from '../../lib/scsi/sense.js'
import { INITIATOR, ISID, TARGET, makeNexus, makeUnit } from '../support/scsi.js'

describe('a nexus', () => {
  it('is named by both of its ports (RFC 7143 §4.4.1)', () => {
    const nexus = makeNexus([], { targetPortalGroupTag: 0x1f })
    expect(nexus.initiatorPort).toBe(`${INITIATOR},i,0x${ISID}`)
    expect(nexus.targetPort).toBe(`${TARGET},t,0x001f`)
    expect(makeNexus([], { targetPortalGroupTag: 0x1f }).id).toBe(nexus.id)
    expect(makeNexus([]).id).not.toBe(nexus.id)
    expect(makeNexus([], { targetPortalGroupTag: 0x1f, isid: '400001370001' }).id).not.toBe(nexus.id)
  })

  it('has its units in ascending order', () => {
    const nexus = makeNexus([makeUnit({ lun: 9 }), makeUnit({ lun: 0 }), makeUnit({ lun: 3 })])
    expect([...nexus.units.keys()]).toEqual([0, 3, 9])
  })

  it('hears of its units until it ends', () => {
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    const entry = nexus.units.get(0)!
    unit.establish(CAPACITY_CHANGED)
    expect(entry.takeAttention()).toBe(CAPACITY_CHANGED)
    nexus.end()
    nexus.end()
    unit.establish(CAPACITY_CHANGED)
    expect(entry.attention).toBeUndefined()
  })

  it('tells of a look only while it is fenced', () => {
    const onLook = jest.fn()
    const nexus = makeNexus([makeUnit()], { onLook })
    const entry = nexus.units.get(0)!
    nexus.looked(entry, 'inquiry')
    entry.fenced = true
    nexus.looked(entry, 'read-capacity')
    expect(onLook.mock.calls).toEqual([[entry, 'read-capacity']])
  })

  it('commits the units that have something uncommitted, and hands over a failure', () => {
    const units = [makeUnit({ lun: 0 }), makeUnit({ lun: 1 }), makeUnit({ lun: 2 })]
    const committed: number[] = []
    for (const { lun, volume } of units) {
      Object.defineProperty(volume, 'uncommitted', { value: lun > 0 })
      volume.commit = () => {
        committed.push(lun)
        if (lun === 1) throw new Error('journal full')
      }
    }
    expect(makeNexus(units).commit()).toMatchObject({ message: 'journal full' })
    expect(committed).toEqual([1, 2])
    expect(makeNexus([units[0]!]).commit()).toBeUndefined()
  })
})

describe('unit attentions of a nexus', () => {
  const entryOf = () => makeNexus([makeUnit()]).units.get(0)!

  it('come in their order, and none twice', () => {
    const entry = entryOf()
    for (const attention of [POWER_ON, NEXUS_LOSS, POWER_ON]) entry.establish(attention)
    expect(entry.attention).toBe(POWER_ON)
    expect([entry.takeAttention(), entry.takeAttention(), entry.takeAttention()]).toEqual([
      POWER_ON,
      NEXUS_LOSS,
      undefined
    ])
  })

  it('can be dropped one by one, or all', () => {
    const entry = entryOf()
    for (const attention of [POWER_ON, NEXUS_LOSS, CAPACITY_CHANGED]) entry.establish(attention)
    entry.dropAttention(NEXUS_LOSS)
    entry.dropAttention(NEXUS_LOSS)
    expect(entry.takeAttention()).toBe(POWER_ON)
    expect(entry.attention).toBe(CAPACITY_CHANGED)
    entry.clearAttentions()
    expect(entry.attention).toBeUndefined()
  })

  it('are at most sixteen; news are dropped', () => {
    const entry = entryOf()
    const many = Array.from({ length: 20 }, (_, ascq): SenseCondition => ({ name: '', key: 6, asc: 0x80, ascq }))
    for (const attention of many) entry.establish(attention)
    const taken: (number | undefined)[] = []
    while (entry.attention) taken.push(entry.takeAttention()!.ascq)
    expect(taken).toEqual(Array.from({ length: 16 }, (_, ascq) => ascq))
  })
})
