import { describe, expect, it } from '@jest/globals'
import { bytes, defineLayout, u16, u24, u32, u48, u64, u8 } from '../../lib/layout/layout.js'

/** One field of each kind; offsets 0, 1, 3, 6, 10, 16, 24 and 27 in all, counted by hand. */
const everyKind = defineLayout(27, {
  byte: u8,
  half: u16,
  three: u24,
  word: u32,
  six: u48,
  eight: u64,
  blob: bytes(3)
})

const GOLDEN = Buffer.from('01 0203 040506 0708090a 0b0c0d0e0f10 0011121314151617 aabbcc'.replaceAll(' ', ''), 'hex')
const VALUES = {
  byte: 0x01,
  half: 0x0203,
  three: 0x040506,
  word: 0x0708090a,
  six: 0x0b0c0d0e0f10,
  eight: 0x0011121314151617,
  blob: Buffer.from('aabbcc', 'hex')
}
const NAMES = Object.keys(VALUES) as (keyof typeof VALUES)[]

describe('defineLayout', () => {
  it('gives the offset of each field in wire order', () => {
    expect(everyKind.offsets).toEqual({ byte: 0, half: 1, three: 3, word: 6, six: 10, eight: 16, blob: 24 })
    expect(everyKind.length).toBe(27)
  })

  it('refuses fields that do not sum up to the length of the standard', () => {
    expect(() => defineLayout(4, { a: u8, b: u16 })).toThrow('layout of 4 bytes has fields of 3')
    expect(() => defineLayout(2, { a: u8, b: u16 })).toThrow('layout of 2 bytes has fields of 3')
  })

  it.each(['buffer', 'offset', 'at'])('refuses a field named %s, which the view has for itself', (name) => {
    expect(() => defineLayout(1, { [name]: u8 })).toThrow(`a field cannot be named ${name}`)
  })
})

describe('a view', () => {
  it.each(NAMES)('reads %s big-endian at its offset', (name) => {
    expect(everyKind.view().at(GOLDEN)[name]).toEqual(VALUES[name])
  })

  it.each(NAMES)('writes %s big-endian and touches no other byte', (name) => {
    const buffer = Buffer.alloc(27, 0xee)
    everyKind.view().at(buffer)[name] = VALUES[name] as never
    const start = everyKind.offsets[name]
    const end = start + everyKind.fields[name].length
    expect(buffer.subarray(start, end)).toEqual(GOLDEN.subarray(start, end))
    expect(Buffer.concat([buffer.subarray(0, start), buffer.subarray(end)]).every((byte) => byte === 0xee)).toBe(true)
  })

  it('moves over the structures of one buffer', () => {
    const pairs = defineLayout(3, { first: u8, second: u16 })
    const view = pairs.view()
    const buffer = Buffer.from('ff01aaaa02bbbb', 'hex')
    expect(view.at(buffer, 1).second).toBe(0xaaaa)
    expect(view.at(buffer, 4).first).toBe(2)
    expect(view.offset).toBe(4)
    expect(view.buffer).toBe(buffer)
  })

  it('shares the memory of a bytes field', () => {
    const buffer = Buffer.from(GOLDEN)
    const blob = everyKind.view().at(buffer).blob
    buffer[24] = 0x55
    expect(blob).toEqual(Buffer.from('55bbcc', 'hex'))
  })

  it.each([2, 4])('refuses %d bytes for a field of 3', (length) => {
    const view = everyKind.view().at(Buffer.alloc(27))
    expect(() => (view.blob = Buffer.alloc(length))).toThrow(`a field of 3 bytes was given ${length}`)
  })

  it('keeps two views of one layout apart', () => {
    const [first, second] = [everyKind.view().at(GOLDEN), everyKind.view().at(Buffer.alloc(27))]
    expect([first.byte, second.byte]).toEqual([1, 0])
  })
})

describe('a number field', () => {
  const limits = [
    { name: 'u8', field: u8, wire: 'ff', value: 0xff },
    { name: 'u16', field: u16, wire: 'ffff', value: 0xffff },
    { name: 'u24', field: u24, wire: 'ffffff', value: 0xffffff },
    { name: 'u32', field: u32, wire: 'ffffffff', value: 0xffffffff },
    { name: 'u48', field: u48, wire: 'ffffffffffff', value: 0xffffffffffff },
    { name: 'u64', field: u64, wire: '001fffffffffffff', value: Number.MAX_SAFE_INTEGER },
    { name: 'u64 above 32 bits', field: u64, wire: '0000000180000000', value: 0x180000000 }
  ]

  it.each(limits)('$name reads $wire as a positive number', ({ field, wire, value }) => {
    expect(field.get(Buffer.from(wire, 'hex'), 0)).toBe(value)
  })

  it.each(limits)('$name writes $wire', ({ field, wire, value }) => {
    const buffer = Buffer.alloc(field.length)
    field.set(buffer, 0, value)
    expect(buffer.toString('hex')).toBe(wire)
  })

  it('gives a 64-bit number beyond 2^53 as one that is not a safe integer', () => {
    for (const wire of ['0020000000000000', '7fffffffffffffff', 'ffffffffffffffff']) {
      expect(Number.isSafeInteger(u64.get(Buffer.from(wire, 'hex'), 0))).toBe(false)
    }
  })
})

describe('make', () => {
  it('gives fresh bytes with the given fields set and zeroes elsewhere', () => {
    const made = everyKind.make({ half: 0x0203, blob: Buffer.from('aabbcc', 'hex') })
    expect(made.toString('hex')).toBe(`000203${'00'.repeat(21)}aabbcc`)
    expect(everyKind.make(VALUES)).toEqual(GOLDEN)
    expect(everyKind.make({})).not.toBe(everyKind.make({}))
  })
})

describe('the buffer-layout struct', () => {
  it('decodes the same values as the view', () => {
    const decoded = everyKind.struct.decode(GOLDEN)
    expect({ ...decoded, blob: Buffer.from(decoded.blob) }).toEqual(VALUES)
  })

  it('encodes the same bytes as the view', () => {
    const buffer = Buffer.alloc(30)
    expect(everyKind.struct.encode(VALUES, buffer, 2)).toBe(27)
    expect(buffer.subarray(2, 29)).toEqual(GOLDEN)
  })
})
