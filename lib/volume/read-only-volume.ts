import type { BlockIo } from './block-io.js'
import { Volume, fail, readOnlyError } from './volume.js'

/** A volume that nobody writes to: what changes it is refused by the public verbs, so nothing of it comes down here. */
export abstract class ReadOnlyVolume extends Volume {
  readonly readOnly = true

  protected _tryWrite(): boolean {
    return false
  }

  protected _tryZero(): boolean {
    return false
  }

  protected _write(io: BlockIo): void {
    fail(io, readOnlyError())
  }

  protected _zero(io: BlockIo): void {
    fail(io, readOnlyError())
  }
}
