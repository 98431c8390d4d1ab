import { describe, expect, it } from '@jest/globals'
import { unitIdentity, type IdentitySource } from '../../lib/target/identity.js'

const SOURCE: IdentitySource = {
  imageUuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
  partition: undefined,
  targetName: 'iqn.2010-04.local.cloudx:share',
  initiatorName: 'iqn.1991-05.com.microsoft:pc',
  lun: 0,
  incarnation: 0
}

describe('unitIdentity', () => {
  it('is the same each time for one source', () => {
    expect(unitIdentity(SOURCE)).toEqual(unitIdentity({ ...SOURCE }))
  })

  it.each([
    ['image', { imageUuid: '0f8fad5b-d9cb-469f-a165-70867728950f' }],
    ['partition', { partition: 1 }],
    ['target', { targetName: 'iqn.2010-04.local.cloudx:other' }],
    ['initiator', { initiatorName: 'iqn.1991-05.com.microsoft:pc2' }],
    ['LUN', { lun: 1 }],
    ['incarnation', { incarnation: 1 }]
  ])('differs when the %s differs', (_what, change) => {
    const one = unitIdentity(SOURCE)
    const other = unitIdentity({ ...SOURCE, ...change })
    expect(other.serial).not.toBe(one.serial)
    expect(other.naa.equals(one.naa)).toBe(false)
    expect(other.scsiName).not.toBe(one.scsiName)
  })

  it('does not let two fields run together', () => {
    const left = unitIdentity({ ...SOURCE, targetName: 'iqn.a:b', initiatorName: 'iqn.c:d' })
    const right = unitIdentity({ ...SOURCE, targetName: 'iqn.a:bi', initiatorName: 'qn.c:d' })
    expect(left.naa.equals(right.naa)).toBe(false)
  })

  it('makes an NAA 6h designator of 16 bytes with the local company identifier 02-43-78', () => {
    const { naa, scsiName } = unitIdentity(SOURCE)
    expect(naa).toHaveLength(16)
    expect(naa.toString('hex').slice(0, 7)).toBe('6024378')
    expect(scsiName).toBe(`naa.${naa.toString('hex')}`)
  })

  it('fits the fields of INQUIRY and is printable', () => {
    const { vendor, product, revision, serial } = unitIdentity(SOURCE)
    expect(vendor.length).toBeLessThanOrEqual(8)
    expect(product.length).toBeLessThanOrEqual(16)
    expect(revision.length).toBeLessThanOrEqual(4)
    expect(serial).toMatch(/^[0-9a-f]{24}$/)
  })

  it('keeps ten thousand clients apart', () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `iqn.2000-01.x:pc-${index}`)
    const serials = new Set(names.map((initiatorName) => unitIdentity({ ...SOURCE, initiatorName }).serial))
    expect(serials.size).toBe(10_000)
  })
})
