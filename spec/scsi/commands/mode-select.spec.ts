import { describe, expect, it } from '@jest/globals'
import { MODE_PARAMETERS_CHANGED } from '../../../lib/scsi/sense.js'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

const PF = 0x10
const CACHING = (flags: string) => `08 12 ${flags} ${'00'.repeat(17)}`
const CONTROL = (sense: string, protect: string) => `0a 0a ${sense} 10 ${protect} ${'00'.repeat(7)}`

function bench() {
  const unit = makeUnit()
  const host = new Host()
  const [nexus, other] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
  /** MODE SELECT(6), or (10) for a list that starts with its longer header. */
  const select = (list: string, { flags = PF, form = 6, length = hex(list).length / 2 } = {}) => {
    const dataOut = Buffer.from(hex(list), 'hex')
    const cdb =
      form === 6 ? [0x15, flags, 0, 0, length, 0] : [0x55, flags, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0]
    return host.execute(nexus, cdb, { dataOut })
  }
  const modes = () => [unit.writeCacheEnabled, unit.descriptorSense, unit.softwareWriteProtect]
  return { unit, host, nexus, other, select, modes, told: () => other.units.get(0)!.takeAttention() }
}

const UNCHANGED = [true, false, false]

describe('MODE SELECT', () => {
  it.each([
    ['the write cache', CACHING('00'), [false, false, false]],
    ['the format of sense data', CONTROL('06', '00'), [true, true, false]],
    ['write protection', CONTROL('02', '08'), [true, false, true]],
    ['all in one list', CACHING('00') + CONTROL('06', '08'), [false, true, true]]
  ])('changes %s, in both forms, and tells the other nexuses', async (_what, pages, expected) => {
    for (const form of [6, 10]) {
      const { select, modes, told, nexus } = bench()
      const header = form === 6 ? '00 00 00 00' : '0000 00 00 00 00 0000'
      expect((await select(`${header} ${pages}`, { form })).status).toBe(0)
      expect(modes()).toEqual(expected)
      expect(told()).toBe(MODE_PARAMETERS_CHANGED)
      expect(nexus.units.get(0)!.attention).toBeUndefined()
    }
  })

  it('answers in the other format of sense data from then on', async () => {
    const { select, host, nexus } = bench()
    await select(`00 00 00 00 ${CONTROL('06', '00')}`)
    const result = await host.execute(nexus, '28 00 ffffffff 00 0001 00')
    expect(result.senseBytes!.toString('hex')).toBe(hex('72 05 21 00 000000 00'))
  })

  it.each([
    ['no list', '', 0],
    ['a header alone', '00 00 00 00', 4],
    ['a block descriptor of what is there', '00 00 00 08 00000400 00000200', 12],
    ['a block descriptor of no count', '00 00 00 08 00000000 00000200', 12],
    ['a block descriptor of all blocks', '00 00 00 08 ffffffff 00000200', 12],
    ['the values that are there', `00 00 90 00 ${CACHING('04')} ${CONTROL('02', '00')}`, 36]
  ])('changes nothing for %s, and tells nobody', async (_what, list, length) => {
    const { select, modes, told } = bench()
    expect((await select(list, { length })).status).toBe(0)
    expect(modes()).toEqual(UNCHANGED)
    expect(told()).toBeUndefined()
  })

  it('takes a long block descriptor in the long form', async () => {
    const { select } = bench()
    const list = '0000 00 00 01 00 0010 0000000000000400 00000000 00000200'
    expect((await select(list, { form: 10 })).status).toBe(0)
  })

  it.each([
    ['1 byte', '00', Sense.ParameterListLength, undefined],
    ['3 bytes', '00 00 00', Sense.ParameterListLength, undefined],
    ['a block descriptor that is cut off', '00 00 00 08 00000400', Sense.ParameterListLength, undefined],
    ['a descriptor length of 255', '00 00 00 ff', Sense.ParameterListLength, undefined],
    ['a page that is cut off', `00 00 00 00 ${CACHING('00').slice(0, -4)}`, Sense.ParameterListLength, undefined],
    ['half a page header', '00 00 00 00 08', Sense.ParameterListLength, undefined],
    ['half a subpage header', '00 00 00 00 5c 02', Sense.ParameterListLength, undefined],
    ['a medium type', '00 01 00 00', Sense.InvalidParameter, 'list byte 1'],
    ['another block size', '00 00 00 08 00000400 00001000', Sense.InvalidParameter, 'list byte 4'],
    ['another capacity', '00 00 00 08 00000399 00000200', Sense.InvalidParameter, 'list byte 4'],
    ['a descriptor of 7 bytes', '00 00 00 07 00000400 000002', Sense.InvalidParameter, 'list byte 3'],
    ['an unknown page', '00 00 00 00 02 0e 0000000000000000000000000000', Sense.InvalidParameter, 'list byte 4'],
    ['page 3Fh', '00 00 00 00 3f 00', Sense.InvalidParameter, 'list byte 4'],
    ['a subpage that is not there', '00 00 00 00 4a 01 0002 0000', Sense.InvalidParameter, 'list byte 4'],
    ['another page length', '00 00 00 00 08 0a 00000000000000000000', Sense.InvalidParameter, 'list byte 5'],
    ['PS, which is reserved here', `00 00 00 00 88${CACHING('00').slice(2)}`, Sense.InvalidParameter, 'list byte 4'],
    ['RCD, which cannot be changed', `00 00 00 00 ${CACHING('05')}`, Sense.InvalidParameter, 'list byte 6'],
    ['GLTSD, which cannot be changed', `00 00 00 00 ${CONTROL('00', '00')}`, Sense.InvalidParameter, 'list byte 6'],
    [
      'TAS, which cannot be changed',
      `00 00 00 00 0a 0a 02 10 00 40 ${'00'.repeat(6)}`,
      Sense.InvalidParameter,
      'list byte 9'
    ],
    ['a page that cannot be changed', `00 00 00 00 1c 0a 08 ${'00'.repeat(9)}`, Sense.InvalidParameter, 'list byte 6']
  ])('refuses %s', async (_what, list, sense, pointer) => {
    const { select, modes, told } = bench()
    const result = await select(list)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect([modes(), told()]).toEqual([UNCHANGED, undefined])
  })

  it('changes nothing when a later page of the list is bad', async () => {
    const { select, modes } = bench()
    const result = await select(`00 00 00 00 ${CACHING('00')} ${CONTROL('00', '00')}`)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidParameter, 'list byte 26'])
    expect(modes()).toEqual(UNCHANGED)
  })

  it('refuses a list that is not sent as a whole', async () => {
    const { select, modes } = bench()
    expect((await select(`00 00 00 00 ${CACHING('00')}`, { length: 36 })).sense).toBe(Sense.ParameterListLength)
    expect((await select('00 00 00 00', { length: 65535, form: 10 })).sense).toBe(Sense.ParameterListLength)
    expect(modes()).toEqual(UNCHANGED)
  })

  it.each([
    ['SP, for nothing can be saved', 0x11, 'cdb byte 1 bit 0'],
    ['a list without PF', 0x00, 'cdb byte 1 bit 4']
  ])('refuses %s', async (_what, flags, pointer) => {
    const { select } = bench()
    const result = await select(`00 00 00 00 ${CACHING('00')}`, { flags })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })

  it('can take write protection away again', async () => {
    const { select, modes } = bench()
    await select(`00 00 00 00 ${CONTROL('02', '08')}`)
    expect((await select(`00 00 00 00 ${CONTROL('02', '00')}`)).status).toBe(0)
    expect(modes()).toEqual(UNCHANGED)
  })
})
