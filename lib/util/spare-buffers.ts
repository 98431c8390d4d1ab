/**
 * Buffers that nobody uses now, to be used again by whoever asks for one of the same length. Memory outside its heap is
 * what makes V8 collect garbage: buffers that are made anew many times a second cost a full collection for every 64 MiB.
 * When they are too many, those of the length that was not asked for for longest go.
 */
export class SpareBuffers {
  /** The length that was used last comes last; none is empty. */
  private readonly byLength = new Map<number, Buffer[]>()
  private bytes = 0

  /** @param bytesMax - kept in all */
  constructor(private readonly bytesMax: number) {}

  /** Of exactly so many bytes, with undefined content. */
  take(length: number): Buffer {
    const spares = this.byLength.get(length)
    if (!spares) return Buffer.allocUnsafeSlow(length)
    this.byLength.delete(length)
    if (spares.length > 1) this.byLength.set(length, spares)
    this.bytes -= length
    return spares.pop()!
  }

  /** Nothing reads or writes it any more. */
  give(buffer: Buffer): void {
    const { length } = buffer
    const spares = this.byLength.get(length) ?? []
    spares.push(buffer)
    this.byLength.delete(length)
    this.byLength.set(length, spares)
    this.bytes += length
    while (this.bytes > this.bytesMax) this.dropOne()
  }

  private dropOne(): void {
    for (const [length, spares] of this.byLength) {
      spares.pop()
      if (spares.length === 0) this.byLength.delete(length)
      this.bytes -= length
      return
    }
  }
}
