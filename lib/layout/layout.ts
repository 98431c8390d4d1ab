import {
  blob,
  nu64be,
  struct,
  u16be,
  u24be,
  u32be,
  u48be,
  u8 as byte,
  type Layout,
  type Structure
} from 'buffer-layout'
import { assert } from '../util/assert.js'

/**
 * A wire structure is declared once, as a record of fields in wire order, and used twice: `struct` is the
 * buffer-layout structure whose `decode` and `encode` serve logs, specs and the control path, and `view()` makes an
 * object whose getters and setters read and write the bytes in place.
 *
 * Why both: decoding builds an object and a blob for each field, about 1 µs for a basic header segment; a getter takes
 * some 20 ns. All numbers are big-endian, as everything in iSCSI and SCSI is. A 64-bit field is a plain number: the
 * view gives 2^53 or more as an inexact number, which every caller refuses as out of range before it computes with it.
 */
export interface Field<T> {
  readonly length: number
  layout(property: string): Layout<T>
  get(buffer: Buffer, offset: number): T
  set(buffer: Buffer, offset: number, value: T): void
}

type Fields = Record<string, Field<number> | Field<Buffer>>
type Value<F> = F extends Field<infer T> ? T : never
export type Values<F extends Fields> = { [K in keyof F]: Value<F[K]> }

/** A movable window on one structure: `view.at(buffer, offset).field`. */
export type View<F extends Fields> = Values<F> & {
  readonly buffer: Buffer
  readonly offset: number
  at(buffer: Buffer, offset?: number): View<F>
}

export interface Definition<F extends Fields> {
  /** Length in bytes. */
  readonly length: number
  readonly fields: F
  readonly struct: Structure<Values<F>>
  /** Byte offset of each field, for writers that put constants. */
  readonly offsets: { readonly [K in keyof F]: number }
  /** A fresh view; make it once and move it. */
  view(): View<F>
  /** Fresh zeroed bytes with the given fields set. */
  make(values: Partial<Values<F>>): Buffer
}

export const u8: Field<number> = {
  length: 1,
  layout: byte,
  get: (buffer, offset) => buffer[offset]!,
  set: (buffer, offset, value) => void (buffer[offset] = value)
}
export const u16: Field<number> = {
  length: 2,
  layout: u16be,
  get: (buffer, offset) => (buffer[offset]! << 8) | buffer[offset + 1]!,
  set: (buffer, offset, value) => {
    buffer[offset] = value >>> 8
    buffer[offset + 1] = value
  }
}
export const u24: Field<number> = {
  length: 3,
  layout: u24be,
  get: (buffer, offset) => (buffer[offset]! << 16) | (buffer[offset + 1]! << 8) | buffer[offset + 2]!,
  set: (buffer, offset, value) => {
    buffer[offset] = value >>> 16
    buffer[offset + 1] = value >>> 8
    buffer[offset + 2] = value
  }
}
export const u32: Field<number> = { length: 4, layout: u32be, get: getU32, set: setU32 }
export const u48: Field<number> = {
  length: 6,
  layout: u48be,
  get: (buffer, offset) => u16.get(buffer, offset) * 0x100000000 + getU32(buffer, offset + 2),
  set: (buffer, offset, value) => {
    u16.set(buffer, offset, Math.floor(value / 0x100000000))
    setU32(buffer, offset + 2, value % 0x100000000)
  }
}
export const u64: Field<number> = {
  length: 8,
  layout: nu64be,
  get: (buffer, offset) => getU32(buffer, offset) * 0x100000000 + getU32(buffer, offset + 4),
  set: (buffer, offset, value) => {
    setU32(buffer, offset, Math.floor(value / 0x100000000))
    setU32(buffer, offset + 4, value % 0x100000000)
  }
}

/** `length` bytes as they are. The view gives a slice that shares memory with the structure. */
export function bytes(length: number): Field<Buffer> {
  return {
    length,
    layout: (property) => blob(length, property) as Layout<Buffer>,
    get: (buffer, offset) => buffer.subarray(offset, offset + length),
    set: (buffer, offset, value) => {
      // The sentence is made only when it is needed: this is on the data path.
      if (value.length !== length) assert(false, `a field of ${length} bytes was given ${value.length}`)
      buffer.set(value, offset)
    }
  }
}

/**
 * Declares a structure.
 * @param length - its length in bytes by the standard, checked against the sum of the fields when the module loads
 * @param fields - name → field, in wire order
 */
export function defineLayout<F extends Fields>(length: number, fields: F): Definition<F> {
  const names = Object.keys(fields)
  const structure = struct<Values<F>>(names.map((name) => fields[name]!.layout(name) as Layout))
  assert(structure.span === length, `layout of ${length} bytes has fields of ${structure.span}`)
  // A view has these for itself; a field of that name would be hidden by them and read something else.
  for (const name of VIEW_MEMBERS) assert(!(name in fields), `a field cannot be named ${name}`)
  const offsets = Object.fromEntries(names.map((name) => [name, structure.offsetOf(name)])) as Record<keyof F, number>
  const ViewClass = viewClass(names, fields, offsets)
  return {
    length,
    fields,
    struct: structure,
    offsets,
    view: () => new ViewClass() as unknown as View<F>,
    make(values) {
      const buffer = Buffer.alloc(length)
      Object.assign(new ViewClass().at(buffer, 0), values)
      return buffer
    }
  }
}

class BaseView {
  buffer: Buffer = NO_BYTES
  offset = 0

  at(buffer: Buffer, offset = 0): this {
    this.buffer = buffer
    this.offset = offset
    return this
  }
}

const NO_BYTES = Buffer.alloc(0)
const VIEW_MEMBERS = ['buffer', 'offset', 'at']

function viewClass(names: string[], fields: Fields, offsets: Record<string, number>): typeof BaseView {
  class LayoutView extends BaseView {}
  for (const name of names) {
    const field = fields[name] as Field<unknown>
    const at = offsets[name]!
    Object.defineProperty(LayoutView.prototype, name, {
      get(this: BaseView) {
        return field.get(this.buffer, this.offset + at)
      },
      set(this: BaseView, value: unknown) {
        field.set(this.buffer, this.offset + at, value)
      }
    })
  }
  return LayoutView
}

/** With {@link Definition.offsets}, for the data path: a view is some calls for each field, this is inlined. */
export function getU32(buffer: Buffer, offset: number): number {
  return (
    ((buffer[offset]! << 24) | (buffer[offset + 1]! << 16) | (buffer[offset + 2]! << 8) | buffer[offset + 3]!) >>> 0
  )
}

export function setU32(buffer: Buffer, offset: number, value: number): void {
  buffer[offset] = value >>> 24
  buffer[offset + 1] = value >>> 16
  buffer[offset + 2] = value >>> 8
  buffer[offset + 3] = value
}
