/** What Cloud-x uses of buffer-layout 1.2.2, which ships no types. */
declare module 'buffer-layout' {
  export class Layout<T = unknown> {
    readonly span: number
    readonly property: string | undefined
    decode(buffer: Uint8Array, offset?: number): T
    encode(source: T, buffer: Uint8Array, offset?: number): number
  }
  export class Structure<T = Record<string, unknown>> extends Layout<T> {
    readonly fields: readonly Layout[]
    offsetOf(property: string): number | undefined
  }
  export function u8(property?: string): Layout<number>
  export function u16be(property?: string): Layout<number>
  export function u24be(property?: string): Layout<number>
  export function u32be(property?: string): Layout<number>
  export function u48be(property?: string): Layout<number>
  export function nu64be(property?: string): Layout<number>
  export function u16(property?: string): Layout<number>
  export function u32(property?: string): Layout<number>
  export function nu64(property?: string): Layout<number>
  export function blob(length: number, property?: string): Layout<Uint8Array>
  export function struct<T = Record<string, unknown>>(fields: Layout[], property?: string): Structure<T>
}
