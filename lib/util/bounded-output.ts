import { Writable } from 'node:stream'

/**
 * A stream that never waits and never grows: what the destination does not take within its bound is dropped and
 * counted. A console can stand still for hours (text is selected, Ctrl+S), and the server must not notice.
 */
export class BoundedOutput extends Writable {
  private dropped = 0
  private readonly drained = (): void => this.moved()

  /**
   * @param limitBytes - what may wait in the destination; above its high-water mark, because it tells that it drains
   *   only then
   * @param lost - called with the number of dropped writes when the destination has taken all that waited
   */
  constructor(
    private readonly destination: NodeJS.WritableStream,
    private readonly limitBytes: number,
    private readonly lost: (count: number) => void
  ) {
    super({ decodeStrings: true })
    destination.on('drain', this.drained)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.waitingBytes + chunk.length > this.limitBytes) this.dropped++
    else this.destination.write(chunk)
    done()
  }

  /** The destination belongs to somebody else and stays open. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.destination.off('drain', this.drained)
    done(error)
  }

  private get waitingBytes(): number {
    return (this.destination as Partial<Writable>).writableLength ?? 0
  }

  private moved(): void {
    if (this.dropped === 0) return
    const count = this.dropped
    this.dropped = 0
    this.lost(count)
  }
}
