import { describe, expect, it } from '@jest/globals'
import { BlockIo } from '../../lib/volume/block-io.js'
import { ReadOnlyVolume } from '../../lib/volume/read-only-volume.js'
import { codeOf } from '../../lib/util/errors.js'

class Sevens extends ReadOnlyVolume {
  readonly size = 4096

  open(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  protected _tryRead(buffer: Buffer, start: number, length: number): boolean {
    buffer.fill(7, start, start + length)
    return true
  }

  protected _read(io: BlockIo): void {
    this._tryRead(io.buffer, io.start, io.length)
    setImmediate(() => io.complete())
  }

  protected _flush(io: BlockIo): void {
    setImmediate(() => io.complete())
  }
}

describe('a read-only volume', () => {
  const volume = new Sevens()
  const bytes = Buffer.alloc(512)

  it('refuses what would change it at once', async () => {
    expect(() => volume.tryWrite(bytes, 0, 512, 0)).toThrow('read-only')
    expect(() => volume.tryZero(0, 512, true)).toThrow('read-only')
    await expect(volume.copy(0, 512, 512)).rejects.toThrow('read-only')
  })

  it.each(['write', 'writeAtomic', 'zero'] as const)('completes a %s with EROFS', async (verb) => {
    const code = await new Promise((resolve) => {
      const io = new BlockIo((_io, error) => resolve(codeOf(error)))
      volume[verb](io.set(bytes, 0, 512, 0))
    })
    expect(code).toBe('EROFS')
  })

  it('is read as any other', () => {
    expect(volume.readOnly).toBe(true)
    expect(volume.tryRead(bytes, 0, 512, 0)).toBe(true)
    expect(bytes.every((byte) => byte === 7)).toBe(true)
  })
})
