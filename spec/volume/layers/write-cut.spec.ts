import { describe, expect, it } from '@jest/globals'
import { BASE, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { PIECE, WriteCut } from '../../../lib/volume/layers/write-cut.js'

const CHUNK = 4096
/** Ten chunks and a short one of 512 bytes. */
const SIZE = 10 * CHUNK + 512
const SLOT = 7

/** Pieces of a write of these chunks (a letter each: `z` zeroes, `d` data), as [piece, bytes]. */
function piecesOf(kinds: string, entry: number): [number, number][] {
  const buffer = Buffer.concat(kinds.split('').map((kind) => Buffer.alloc(CHUNK, kind === 'z' ? 0 : 1)))
  return cut(buffer, 0, entry)
}

function cut(buffer: Buffer, offset: number, entry: number, known?: Buffer): [number, number][] {
  const writeCut = new WriteCut(CHUNK, SIZE)
  const pieces: [number, number][] = []
  for (let done = 0; done < buffer.length;) {
    const bytes = writeCut.next(buffer, done, buffer.length - done, offset + done, entry, () =>
      known ? { buffer: known } : undefined
    )
    pieces.push([writeCut.piece, bytes])
    done += bytes
  }
  return pieces
}

describe('the pieces of a write', () => {
  it('joins chunks of data, and chunks of zeroes', () => {
    expect(piecesOf('ddzzzd', BASE)).toEqual([
      [PIECE.data, 2 * CHUNK],
      [PIECE.zeroes, 3 * CHUNK],
      [PIECE.data, CHUNK]
    ])
  })

  it('takes zeroes over zeroes for the same', () => {
    expect(piecesOf('zzd', ZERO)).toEqual([
      [PIECE.same, 2 * CHUNK],
      [PIECE.data, CHUNK]
    ])
  })

  it('frees the slot of a chunk that becomes zeroes', () => {
    expect(piecesOf('dz', SLOT)).toEqual([
      [PIECE.data, CHUNK],
      [PIECE.zeroes, CHUNK]
    ])
  })

  it('takes the short chunk at the end of the disk for a whole one', () => {
    expect(cut(Buffer.alloc(512), 10 * CHUNK, BASE)).toEqual([[PIECE.zeroes, 512]])
  })

  it('stores a part of a chunk that has a slot, also one of zeroes', () => {
    expect(cut(Buffer.alloc(1024), 512, SLOT)).toEqual([[PIECE.data, 1024]])
    expect(cut(Buffer.alloc(2048), CHUNK - 1024, SLOT)).toEqual([[PIECE.data, 2048]])
  })

  it.each([
    ['the base', BASE, 9],
    ['zeroes', ZERO, 0]
  ])('compares a part of a chunk with %s', (_what, entry, fill) => {
    const known = Buffer.alloc(CHUNK, fill)
    expect(cut(Buffer.alloc(1024, fill), 512, entry, known)).toEqual([[PIECE.same, 1024]])
    for (const at of [0, 1, 700, 1023]) {
      const bytes = Buffer.alloc(1024, fill)
      bytes[at] = 3
      expect(cut(bytes, 512, entry, known)).toEqual([[PIECE.data, 1024]])
    }
  })

  it('compares a part with its own place in the chunk', () => {
    const known = Buffer.from(Uint8Array.from({ length: CHUNK }, (_, at) => at >>> 4))
    expect(cut(known.subarray(512, 1024), 512, BASE, known)).toEqual([[PIECE.same, 512]])
    expect(cut(known.subarray(512, 1024), 1024, BASE, known)).toEqual([[PIECE.data, 512]])
  })

  it('finds zeroes only where all bytes are', () => {
    for (const at of [0, 1, 2047, 2048, 3000, 4095]) {
      const bytes = Buffer.alloc(CHUNK)
      bytes[at] = 0x80
      expect(cut(bytes, 3 * CHUNK, BASE)).toEqual([[PIECE.data, CHUNK]])
    }
  })
})
