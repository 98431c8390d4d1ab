import type { BlockIo } from '../block-io.js'
import { Volume, type Extent } from '../volume.js'

/**
 * A volume that somebody else opens and closes, for a layer that wants to own what lies below it. Every verb is that of
 * the volume.
 */
export class BorrowedVolume extends Volume {
  override readonly slow: boolean

  /** @param lent - open, and open for as long as this is used */
  constructor(private readonly lent: Volume) {
    super()
    this.slow = lent.slow
  }

  get size(): number {
    return this.lent.size
  }

  get readOnly(): boolean {
    return this.lent.readOnly
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  override get uncommitted(): boolean {
    return this.lent.uncommitted
  }

  override commit(): void {
    this.lent.commit()
  }

  override extent(offset: number, limit: number): Extent {
    return this.lent.extent(offset, limit)
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    return this.lent.tryRead(buffer, start, length, offset)
  }

  protected _read(io: BlockIo): void {
    this.lent.read(io)
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    return this.lent.tryWrite(buffer, start, length, offset)
  }

  protected _write(io: BlockIo): void {
    this.lent.write(io)
  }

  protected override _writeAtomic(io: BlockIo): void {
    this.lent.writeAtomic(io)
  }

  protected _tryZero(offset: number, length: number, unmap: boolean): boolean {
    return this.lent.tryZero(offset, length, unmap)
  }

  protected _zero(io: BlockIo): void {
    this.lent.zero(io)
  }

  protected _flush(io: BlockIo): void {
    this.lent.flush(io)
  }
}
