import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import {
  ALL_BASE,
  ALL_ZERO,
  NEEDS_LEAF,
  isMarker,
  isZeroAt,
  markerWith,
  runAt
} from '../../../lib/volume/delta/range-marker.js'
import { Random, seedOf, steps } from '../../support/random.js'

const LEAF = 1024

/** `0*10 1*1014`: kinds of the chunks of a leaf, 1 for zeroes. */
function runsOf(marker: number, entries = LEAF): string {
  const runs: string[] = []
  for (let at = 0; at < entries;) {
    const length = runAt(marker, at, entries - at)
    runs.push(`${isZeroAt(marker, at) ? 1 : 0}*${length}`)
    at += length
  }
  return runs.join(' ')
}

describe('A marker for a leaf that is not there', () => {
  it.each([
    ['zeroes at the start', [[0, 10, true]], '1*10 0*1014'],
    ['zeroes at the end', [[1023, 1024, true]], '0*1023 1*1'],
    ['zeroes in the middle', [[5, 6, true]], '0*5 1*1 0*1018'],
    [
      'zeroes that meet',
      [
        [5, 9, true],
        [9, 20, true]
      ],
      '0*5 1*15 0*1004'
    ],
    [
      'zeroes at both ends',
      [
        [0, 3, true],
        [1000, 1024, true]
      ],
      '1*3 0*997 1*24'
    ],
    [
      'zeroes that fill the gap',
      [
        [0, 3, true],
        [1000, 1024, true],
        [3, 1000, true]
      ],
      '1*1024'
    ],
    [
      'base again in a leaf of zeroes',
      [
        [0, 1024, true],
        [7, 8, false]
      ],
      '1*7 0*1 1*1016'
    ],
    [
      'base again over the start of zeroes',
      [
        [5, 20, true],
        [0, 10, false]
      ],
      '0*10 1*10 0*1004'
    ],
    [
      'base again over all of them',
      [
        [5, 20, true],
        [4, 21, false]
      ],
      '0*1024'
    ]
  ] as [string, [number, number, boolean][], string][])('says %s', (_title, changes, runs) => {
    let marker = ALL_BASE
    for (const [from, end, zero] of changes) marker = markerWith(marker, from, end, zero, LEAF)
    expect(runsOf(marker)).toBe(runs)
    expect(isMarker(marker)).toBe(true)
  })

  it.each([
    ['two pieces of zeroes', [5, 6], [8, 9], true],
    ['zeroes with a hole', [5, 20], [8, 9], false],
    ['three pieces with zeroes at the start', [0, 20], [30, 31], true]
  ] as [string, [number, number], [number, number], boolean][])('leaves to a leaf %s', (_title, zeroes, next, zero) => {
    const marker = markerWith(ALL_BASE, ...zeroes, true, LEAF)
    expect(markerWith(marker, ...next, zero, LEAF)).toBe(NEEDS_LEAF)
  })

  it('ends with the disk where the last leaf stands for fewer chunks', () => {
    expect(markerWith(ALL_BASE, 0, 10, true, 10)).toBe(ALL_ZERO)
    expect(runsOf(markerWith(ALL_BASE, 4, 10, true, 10), 10)).toBe('0*4 1*6')
  })

  for (const seed of [1, 2].map(seedOf)) {
    it(`agrees with a plain array, and gives up only beyond two changes of kind (seed ${seed})`, () => {
      const random = new Random(seed)
      for (let round = 0; round < steps(300); round++) {
        const entries = random.pick([LEAF, 300, 5])
        let marker = ALL_BASE
        let model = new Array<boolean>(entries).fill(false)
        for (let step = 0; step < 12; step++) {
          const from = random.pick([0, random.int(entries)])
          const end = random.pick([entries, from + 1 + random.int(entries - from)])
          const zero = random.chance(0.5)
          const next = markerWith(marker, from, end, zero, entries)
          const wanted = model.with(from, zero).fill(zero, from, end)
          const changes = wanted.filter((kind, at) => at > 0 && kind !== wanted[at - 1]).length
          assert.equal(next === NEEDS_LEAF, changes > 2, `round ${round}, step ${step}`)
          if (next === NEEDS_LEAF) continue
          marker = next
          model = wanted
          assert.equal(runsOf(marker, entries), modelRuns(model))
        }
      }
    })
  }
})

function modelRuns(model: readonly boolean[]): string {
  const runs: string[] = []
  for (let at = 0; at < model.length;) {
    const from = at
    while (at < model.length && model[at] === model[from]) at++
    runs.push(`${model[from] ? 1 : 0}*${at - from}`)
  }
  return runs.join(' ')
}
