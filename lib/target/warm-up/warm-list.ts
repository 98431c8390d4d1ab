import { Fields } from '../shape.js'
import { PIECE_BYTES } from './first-reads.js'

/** What was read first of one disk of an image, as it is kept beside the state. */
export interface WarmList {
  /** Of what the disk showed then; see {@link identityOf}. */
  readonly identity: string
  readonly pieces: readonly number[]
}

const VERSION = 1

/** @returns a record for `writeJson`: runs of pieces in the order of reading, as in `0+16 2048 2050+3` */
export function formatWarmList({ identity, pieces }: WarmList): object {
  return { version: VERSION, identity, pieceBytes: PIECE_BYTES, pieces: formatRuns(pieces) }
}

/**
 * @param sizeBytes - of the disk
 * @throws TargetError ERR_ISCSI_STATE for what is no such record; it is only a hint, so nothing is lost with it
 */
export function parseWarmList(source: string, value: unknown, sizeBytes: number, piecesMax: number): WarmList {
  const fields = new Fields(source, value)
  fields.version(VERSION)
  fields.expect(fields.count('pieceBytes') === PIECE_BYTES, 'pieceBytes', String(PIECE_BYTES))
  const identity = fields.string('identity')
  const pieces = parseRuns(fields.string('pieces'), Math.ceil(sizeBytes / PIECE_BYTES), piecesMax)
  fields.expect(pieces !== undefined, 'pieces', 'runs of pieces of the disk')
  return { identity, pieces: pieces! }
}

function formatRuns(pieces: readonly number[]): string {
  const runs: string[] = []
  for (let at = 0; at < pieces.length;) {
    const first = pieces[at]!
    let count = 1
    while (pieces[at + count] === first + count) count++
    runs.push(count === 1 ? String(first) : `${first}+${count}`)
    at += count
  }
  return runs.join(' ')
}

/** Undefined when it is none. A list that was made for a larger budget ends where this one does. */
function parseRuns(text: string, pieceCount: number, piecesMax: number): number[] | undefined {
  const pieces = new Set<number>()
  for (const run of text === '' ? [] : text.split(' ')) {
    const match = /^(\d{1,12})(?:\+(\d{1,6}))?$/.exec(run)
    if (!match) return undefined
    const first = Number(match[1])
    const end = first + Number(match[2] ?? 1)
    if (end <= first || end > pieceCount) return undefined
    for (let piece = first; piece < end && pieces.size < piecesMax; piece++) pieces.add(piece)
  }
  return [...pieces]
}
