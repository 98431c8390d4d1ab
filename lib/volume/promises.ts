import { BlockIo } from './block-io.js'
import type { Volume } from './volume.js'

/**
 * The verbs of a volume as promises, for code that is not the data path: rare commands, specs, tools. Each tries the
 * synchronous verb first.
 */
export async function readVolume(volume: Volume, buffer: Buffer, offset: number): Promise<void> {
  if (volume.tryRead(buffer, 0, buffer.length, offset)) return
  await settled((io) => volume.read(io.set(buffer, 0, buffer.length, offset)))
}

/** The bytes are written and findable after a crash of the process when this resolves. */
export async function writeVolume(volume: Volume, buffer: Buffer, offset: number): Promise<void> {
  if (volume.tryWrite(buffer, 0, buffer.length, offset)) return volume.commit()
  await settled((io) => volume.write(io.set(buffer, 0, buffer.length, offset)))
}

/** All of the bytes or none, whatever happens; only for volumes that say so. */
export async function writeAtomically(volume: Volume, buffer: Buffer, offset: number): Promise<void> {
  await settled((io) => volume.writeAtomic(io.set(buffer, 0, buffer.length, offset)))
}

export async function zeroVolume(volume: Volume, offset: number, length: number, unmap: boolean): Promise<void> {
  if (volume.tryZero(offset, length, unmap)) return volume.commit()
  await settled((io) => {
    io.set(Buffer.alloc(0), 0, length, offset).unmap = unmap
    volume.zero(io)
  })
}

export async function flushVolume(volume: Volume): Promise<void> {
  await settled((io) => volume.flush(io))
}

function settled(start: (io: BlockIo) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start(new BlockIo((_io, error) => (error ? reject(error) : resolve())))
  })
}
