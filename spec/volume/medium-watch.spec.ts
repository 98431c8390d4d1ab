import { describe, expect, it } from '@jest/globals'
import { READ_WATCH, WRITE_WATCH, WriteWatch, holdsWritersBack } from '../../lib/volume/medium-watch.js'

/** As the kernel writes it: other lines before, between and behind. */
function vmstat(dirty: number, writeback: number, limit: number, backgroundLimit: number): string {
  return [
    'nr_free_pages 4680000',
    `nr_dirty ${dirty}`,
    `nr_writeback ${writeback}`,
    'nr_writeback_temp 77777777',
    `nr_dirty_threshold ${limit}`,
    `nr_dirty_background_threshold ${backgroundLimit}`,
    'nr_dirtied 99999999',
    ''
  ].join('\n')
}

describe('the watch over writes', () => {
  // Documentation/admin-guide/sysctl/vm.rst and mm/page-writeback.c: free up to the middle of 16384 and 8192 pages.
  it.each([
    [0, 0, false],
    [12_288, 0, false],
    [12_289, 0, true],
    [6000, 6288, false],
    [6000, 6289, true],
    [20_000, 0, true]
  ])('takes %d dirty pages and %d on their way for writers held back: %s', (dirty, writeback, held) => {
    expect(holdsWritersBack(vmstat(dirty, writeback, 16_384, 8192))).toBe(held)
  })

  it.each(['', 'nr_dirty 5\n', 'nr_dirty x\nnr_writeback 0\n'])('knows nothing from %j', (text) => {
    expect(holdsWritersBack(text)).toBe(false)
  })

  const linux = process.platform === 'linux' ? it : it.skip
  linux('asks once for all that ask within 20 ms', () => {
    const texts = [vmstat(9000, 0, 8000, 4000), vmstat(0, 0, 8000, 4000)]
    let now = 100
    const watch = new WriteWatch(
      () => texts.shift()!,
      () => now
    )
    expect(watch.waited()).toBe(true)
    now = 119
    expect(watch.waited()).toBe(true)
    now = 120
    expect(watch.waited()).toBe(false)
    expect(texts).toEqual([])
  })

  it('knows nothing, and takes every slow write for one that waited, where the kernel does not tell', () => {
    const watch = new WriteWatch(() => {
      throw new Error('no such file')
    })
    expect([watch.waited(), watch.waited()]).toEqual([true, true])
    expect(watch.lasting).toBe(false)
  })

  it('answers, and says that its answer lasts where the kernel tells', () => {
    expect(typeof WRITE_WATCH.waited()).toBe('boolean')
    expect(WRITE_WATCH.lasting).toBe(process.platform === 'linux')
  })
})

describe('the watch over reads', () => {
  it('says of one access, not of the next', () => {
    expect(typeof READ_WATCH.waited()).toBe('boolean')
    expect(READ_WATCH.lasting).toBeUndefined()
  })
})
