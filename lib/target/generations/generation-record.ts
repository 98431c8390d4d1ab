import { Fields } from '../shape.js'

/**
 * What is known of the generations of one image, in `generations/<uuid>.json` of the state directory. The file is
 * replaced as a whole, so a publish, a roll-back or the end of a flatten is one rename: it happened or it did not.
 *
 *     number   0 ── 1 ── 2 ── 4        a generation lies over its parent;
 *                        └─── 3        after a roll-back to 2, 4 was published beside 3
 *
 * One of them, `raw`, is what the raw file holds. The layers of those above it are `<number>.map` and `.slots` in
 * `generations/<uuid>/`; what is neither the raw one nor above it has been flattened and is history alone.
 */
export interface GenerationRecord {
  /** By rising numbers. */
  readonly generations: readonly Generation[]
  /** What new logins get. */
  readonly current: number
  /** What the raw file holds. */
  readonly raw: number
  /** The raw file as it was when it held that; undefined for what is no file. */
  readonly rawIdentity: RawIdentity | undefined
  /** Who gets another generation than the current one. */
  readonly tests: readonly TestRule[]
  /** A flatten has begun: layers up to this generation are being copied into the raw file. */
  readonly flattening: number | undefined
  /** Sessions that see another generation than they would get are to be asked to log in again. */
  readonly push: PlannedPush | undefined
}

export interface PlannedPush {
  /** Wall clock, ms since 1970. */
  readonly at: number
  /** Also of clients that wrote something, which is dropped. */
  readonly dropDeltas: boolean
}

export interface Generation {
  readonly number: number
  /** What it lies over; undefined for one that began as a raw file. */
  readonly parent: number | undefined
  /** Wall clock, ms since 1970. */
  readonly time: number
  /** The initiator that wrote it; empty when it came about otherwise. */
  readonly author: string
  readonly note: string
  /** Bytes of the disk. */
  readonly size: number
  /** Bytes in its layer; undefined when it has none: it began as a raw file, or changes the size alone. */
  readonly layerBytes: number | undefined
  /** SHA-256 over its hash tree, in hex, once it is known. */
  readonly hash: string | undefined
  /** The delta that it was made of, until its owner has noted that it is one no more. */
  readonly source: DeltaSource | undefined
}

/** A delta, as its owner knows it. */
export interface DeltaSource {
  readonly targetName: string
  readonly initiatorName: string
  readonly lun: number
  readonly epoch: number
}

export interface RawIdentity {
  /** Bytes. */
  readonly size: number
  readonly mtimeNs: bigint
  readonly inode: bigint
}

export interface TestRule {
  /** A normalised initiator name, with `*` at the end as a wild card. */
  readonly match: string
  readonly generation: number
}

const VERSION = 1
/** Generations that are remembered; of those that were flattened the oldest goes first. */
export const GENERATIONS_MAX = 1024
/** Layers over each other: each costs an open file, its map, and a step of every read that goes through it. */
export const LAYERS_MAX = 64
export const NOTE_CHARACTERS_MAX = 200

/** An image that nothing was ever published for. */
export function firstRecord(size: number, time: number, rawIdentity: RawIdentity | undefined): GenerationRecord {
  const first = { number: 0, parent: undefined, time, author: '', note: '', size }
  const generation: Generation = { ...first, layerBytes: undefined, hash: undefined, source: undefined }
  const nothingElse = { tests: [], flattening: undefined, push: undefined }
  return { generations: [generation], current: 0, raw: 0, rawIdentity, ...nothingElse }
}

export function generationOf({ generations }: GenerationRecord, number: number): Generation | undefined {
  return generations.find((one) => one.number === number)
}

/**
 * The generations from the one above the raw file up to `number`; empty for the raw one itself, undefined for one that
 * is not there any more.
 */
export function layersOf(record: GenerationRecord, number: number): readonly Generation[] | undefined {
  const layers: Generation[] = []
  for (let at: number | undefined = number; at !== record.raw;) {
    const one: Generation | undefined = at === undefined ? undefined : generationOf(record, at)
    // A damaged record must not send us round in circles.
    if (!one || layers.length > record.generations.length) return undefined
    layers.unshift(one)
    at = one.parent
  }
  return layers
}

/** Whether it can still be shown. */
export function isAvailable(record: GenerationRecord, number: number): boolean {
  return layersOf(record, number) !== undefined
}

/** It lies over `ancestor`, or is it. */
export function isOver(record: GenerationRecord, number: number, ancestor: number): boolean {
  return number === ancestor || layersOf(record, number)?.some(({ parent }) => parent === ancestor) === true
}

export function nextNumber({ generations }: GenerationRecord): number {
  return Math.max(...generations.map(({ number }) => number)) + 1
}

/** The record with one generation more; of those that cannot be shown any more the oldest makes room. */
export function withGeneration(record: GenerationRecord, added: Generation): GenerationRecord {
  const gone =
    record.generations.length < GENERATIONS_MAX
      ? undefined
      : record.generations.find(({ number }) => !isAvailable(record, number))
  return { ...record, generations: [...record.generations.filter((one) => one !== gone), added] }
}

export function withHash(record: GenerationRecord, number: number, hash: string): GenerationRecord {
  const generations = record.generations.map((one) => (one.number === number ? { ...one, hash } : one))
  return { ...record, generations }
}

export function formatGenerationRecord(record: GenerationRecord): unknown {
  const { rawIdentity } = record
  const identity = rawIdentity && {
    size: rawIdentity.size,
    mtimeNs: String(rawIdentity.mtimeNs),
    inode: String(rawIdentity.inode)
  }
  return { version: VERSION, ...record, rawIdentity: identity }
}

/** Throws TargetError ERR_ISCSI_STATE when the value is no such record. */
export function parseGenerationRecord(path: string, value: unknown): GenerationRecord {
  const fields = new Fields(path, value)
  fields.version(VERSION)
  const record = {
    generations: fields.records('generations', parseGeneration),
    current: fields.count('current'),
    raw: fields.count('raw'),
    rawIdentity: fields.optionalRecord('rawIdentity', (identity) => ({
      size: identity.count('size'),
      mtimeNs: identity.decimal('mtimeNs'),
      inode: identity.decimal('inode')
    })),
    tests: fields.records('tests', (test) => ({ match: test.string('match'), generation: test.count('generation') })),
    flattening: fields.optionalCount('flattening'),
    push: fields.optionalRecord('push', (push) => ({ at: push.count('at'), dropDeltas: push.boolean('dropDeltas') }))
  }
  fields.expect(
    isAvailable(record, record.current) && generationOf(record, record.raw) !== undefined,
    'current',
    'a generation that lies over the raw file'
  )
  return record
}

function parseGeneration(fields: Fields): Generation {
  return {
    number: fields.count('number'),
    parent: fields.optionalCount('parent'),
    time: fields.count('time'),
    author: fields.string('author'),
    note: fields.string('note'),
    size: fields.count('size'),
    layerBytes: fields.optionalCount('layerBytes'),
    hash: fields.optionalString('hash'),
    source: fields.optionalRecord('source', (source) => ({
      targetName: source.string('targetName'),
      initiatorName: source.string('initiatorName'),
      lun: source.count('lun'),
      epoch: source.count('epoch')
    }))
  }
}
