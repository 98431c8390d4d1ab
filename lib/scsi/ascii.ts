/** An ASCII field (SPC-4 §4.3.1): left-aligned, cut to `length` bytes, filled with spaces. */
export function ascii(text: string, length: number): Buffer {
  const field = Buffer.alloc(length, ' ')
  field.write(text.slice(0, length), 'ascii')
  return field
}
