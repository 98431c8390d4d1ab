/**
 * What a directory entry of the map says of a leaf that is not there: which of its chunks read as zeroes and which are
 * the base's, when that changes at most twice from its first chunk to its last one.
 *
 *   bit  31       20                19 … 10           9 … 0
 *        1        inside is base    last inside       first inside        the chunks outside are of the other kind
 *
 * The free space of a file system begins and ends anywhere. With this the UNMAP of all of it needs a leaf only where
 * pieces of it lie closely together, not at each of its ends.
 *
 * A leaf that is all base is 0 and one that is all zeroes 0xFFFFFFFF; neither has the form above.
 */

/** All chunks of the leaf are the base's. */
export const ALL_BASE = 0
/** All chunks of the leaf read as zeroes. */
export const ALL_ZERO = 0xffffffff
/** Neither: it takes a leaf to say it. */
export const NEEDS_LEAF = 0xfffffffe
/** Entries of a directory from here on are markers; a lower one is the number of a leaf, or {@link ALL_BASE}. */
export const FIRST_MARKER = 0x80000000

/** Whether this entry of a directory stands for a leaf that is not there. */
export function isMarker(marker: number): boolean {
  return marker === ALL_BASE || marker >= FIRST_MARKER
}

/** Whether the chunk at this place of the leaf reads as zeroes. */
export function isZeroAt(marker: number, at: number): boolean {
  if (isUniform(marker)) return marker === ALL_ZERO
  const inside = at >= firstOf(marker) && at < endOf(marker)
  return inside !== isBaseInside(marker)
}

/** How many chunks from this place on are alike, at most `limit`. */
export function runAt(marker: number, at: number, limit: number): number {
  if (isUniform(marker)) return limit
  if (at < firstOf(marker)) return Math.min(limit, firstOf(marker) - at)
  if (at < endOf(marker)) return Math.min(limit, endOf(marker) - at)
  return limit
}

/**
 * The marker when these chunks become zeroes or base, or {@link NEEDS_LEAF}.
 * @param entries - chunks that the leaf stands for
 */
export function markerWith(marker: number, from: number, end: number, zero: boolean, entries: number): number {
  if (from === 0 && end === entries) return uniform(zero)
  const uniformly = isUniform(marker)
  const outsideZero = uniformly ? marker === ALL_ZERO : isBaseInside(marker)
  if (uniformly) return outsideZero === zero ? marker : make(from, end, zero)
  const first = firstOf(marker)
  const last = Math.min(endOf(marker), entries)
  return outsideZero === zero
    ? without(marker, first, last, from, end, zero)
    : joined(first, last, from, end, zero, entries)
}

/** The inside loses these chunks, which become as those outside. */
function without(marker: number, first: number, last: number, from: number, end: number, zero: boolean): number {
  if (end <= first || from >= last) return marker
  if (from <= first && end >= last) return uniform(zero)
  if (from <= first) return make(end, last, !zero)
  if (end >= last) return make(first, from, !zero)
  return NEEDS_LEAF
}

/** These chunks become as those inside. */
function joined(first: number, last: number, from: number, end: number, zero: boolean, entries: number): number {
  const [low, high] = [Math.min(first, from), Math.max(last, end)]
  const whole = low === 0 && high === entries
  if (end >= first && from <= last) return whole ? uniform(zero) : make(low, high, zero)
  // Two pieces, which is what can be said when nothing is left outside but the gap between them.
  return whole ? make(Math.min(last, end), Math.max(first, from), !zero) : NEEDS_LEAF
}

function uniform(zero: boolean): number {
  return zero ? ALL_ZERO : ALL_BASE
}

function isUniform(marker: number): boolean {
  return marker === ALL_BASE || marker === ALL_ZERO
}

function make(first: number, end: number, zeroInside: boolean): number {
  return FIRST_MARKER + (zeroInside ? 0 : BASE_INSIDE) + (end - 1) * PLACES + first
}

function isBaseInside(marker: number): boolean {
  return (marker & BASE_INSIDE) !== 0
}

function firstOf(marker: number): number {
  return marker & (PLACES - 1)
}

function endOf(marker: number): number {
  return ((marker >>> 10) & (PLACES - 1)) + 1
}

/** Chunks of a leaf: ten bits. */
const PLACES = 1024
const BASE_INSIDE = 1 << 20
