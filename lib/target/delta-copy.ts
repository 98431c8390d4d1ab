import { setImmediate as nextTurn } from 'node:timers/promises'
import type { RescuedFile } from './changed-files.js'
import { readVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'

/** A part of a copy, in the order of the disk. What no part covers is zero. */
export type CopyPart =
  /** The first one: how long the whole is. */
  | { readonly kind: 'size'; readonly lengthBytes: number }
  | { readonly kind: 'data'; readonly offset: number; readonly bytes: Buffer }
  /** So far it has come; for whoever shows progress where there is nothing but zeroes. */
  | { readonly kind: 'reached'; readonly offset: number }

/** Bytes that are read at a time, and the unit in which zeroes are left out. */
export const COPY_PART_BYTES = 256 * 1024
/** How far one look for something that is stored goes. */
const EXTENT_BYTES = 64 * 2 ** 20
/** Bytes of a piece that differs. */
const CHANGE_BYTES = 2 ** 20
/** So often it is told how far it has come where nothing differs. */
const TOLD_BYTES = 2 ** 30
const ZEROES = Buffer.alloc(COPY_PART_BYTES)

/** A disk from there to its end, without what is zero anyway. */
export async function* copyOf(volume: Volume, fromBytes = 0): AsyncGenerator<CopyPart> {
  yield { kind: 'size', lengthBytes: volume.size }
  for (let offset = fromBytes; offset < volume.size;) {
    const { length, mapped } = volume.extent(offset, EXTENT_BYTES)
    const end = offset + length
    if (mapped) yield* stored(volume, offset, end)
    yield { kind: 'reached', offset: end }
    offset = end
  }
}

/**
 * The pieces of a disk that may differ from another one, each as a whole, also when it is zero.
 * @param touched - whether a range may differ
 */
export async function* changesOf(
  volume: Volume,
  touched: (offset: number, length: number) => boolean,
  fromBytes: number
): AsyncGenerator<CopyPart> {
  yield { kind: 'size', lengthBytes: volume.size }
  for (let offset = fromBytes; offset < volume.size; offset += CHANGE_BYTES) {
    const length = Math.min(CHANGE_BYTES, volume.size - offset)
    if (touched(offset, length)) {
      const bytes = Buffer.allocUnsafe(length)
      await readVolume(volume, bytes, offset)
      yield { kind: 'data', offset, bytes }
    } else if (offset % TOLD_BYTES === 0) {
      await nextTurn()
      yield { kind: 'reached', offset }
    }
  }
}

/** A file in the order of its content. */
export async function* copyOfFile(volume: Volume, { file, offset }: RescuedFile): AsyncGenerator<CopyPart> {
  yield { kind: 'size', lengthBytes: file.lengthBytes }
  if (file.inline) yield { kind: 'data', offset: 0, bytes: file.inline }
  for (const extent of file.inline ? [] : file.extents) {
    for (let done = 0; done < extent.lengthBytes; done += COPY_PART_BYTES) {
      const bytes = Buffer.allocUnsafe(Math.min(COPY_PART_BYTES, extent.lengthBytes - done))
      await readVolume(volume, bytes, offset + extent.offset + done)
      yield { kind: 'data', offset: extent.at + done, bytes }
    }
  }
}

async function* stored(volume: Volume, from: number, end: number): AsyncGenerator<CopyPart> {
  for (let offset = from; offset < end;) {
    // Parts begin at multiples of their length, wherever an extent does.
    const length = Math.min(COPY_PART_BYTES - (offset % COPY_PART_BYTES), end - offset)
    const bytes = Buffer.allocUnsafe(length)
    await readVolume(volume, bytes, offset)
    if (!bytes.equals(ZEROES.subarray(0, length))) yield { kind: 'data', offset, bytes }
    offset += length
  }
}
