/**
 * One request to a volume that could not be done at once. The requester owns it: fills it, passes it to a verb of
 * {@link Volume}, and gets it back through `done`, exactly once, never during the call that passed it (so nobody has
 * to think about re-entry). While it is out the requester touches neither the object nor the bytes it names.
 */
export class BlockIo {
  buffer: Buffer = NO_BYTES
  /** First byte in `buffer`. */
  start = 0
  /** Bytes. */
  length = 0
  /** Byte offset in the volume. */
  offset = 0
  /** For `zero`: give the space back as well (UNMAP), rather than only make it read as zeroes. */
  unmap = false
  /** Of a request that changes its range while somebody watches it: told once more when the change is over. */
  onChange: ((offset: number, length: number) => void) | undefined

  /** @param done - called with the request and, if it failed, an Error that has an errno-like `code` */
  constructor(readonly done: (io: BlockIo, error: Error | undefined) => void) {}

  set(buffer: Buffer, start: number, length: number, offset: number): this {
    this.buffer = buffer
    this.start = start
    this.length = length
    this.offset = offset
    return this
  }

  complete(error?: Error | null): void {
    const { onChange } = this
    if (onChange !== undefined) {
      this.onChange = undefined
      onChange(this.offset, this.length)
    }
    this.done(this, error ?? undefined)
  }
}

const NO_BYTES = Buffer.alloc(0)
