import { closeSync, existsSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs'

/** Makes an image without holes, so that each block is its own, and leaves it in the page cache. */
export function makeImage(path: string, lengthBytes: number): void {
  if (existsSync(path) && statSync(path).size === lengthBytes) return
  const file = openSync(path, 'w')
  const piece = Buffer.alloc(PIECE_BYTES)
  let state = 1
  for (let at = 0; at < PIECE_BYTES; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    piece.writeUInt32LE(state, at)
  }
  for (let at = 0; at < lengthBytes; at += PIECE_BYTES) {
    for (let block = 0; block < PIECE_BYTES; block += 512) piece.writeDoubleLE(at + block, block)
    writeSync(file, piece, 0, PIECE_BYTES, at)
  }
  fsyncSync(file)
  closeSync(file)
}

/** Reads a range once, so that it lies in the page cache. */
export function warm(path: string, start: number, end: number): void {
  const file = openSync(path, 'r')
  const piece = Buffer.alloc(PIECE_BYTES)
  for (let at = start; at < end; at += PIECE_BYTES) readSync(file, piece, 0, PIECE_BYTES, at)
  closeSync(file)
}

const PIECE_BYTES = 1 << 20
