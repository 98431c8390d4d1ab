import { describe, expect, it } from '@jest/globals'
import { PIECE_BYTES, firstDifference, inPieces, readThrough } from '../../lib/scsi/pieces.js'
import { FakeVolume, Host, makeNexus, makeUnit } from '../support/scsi.js'

function idleTask() {
  return new Host().make(makeNexus([makeUnit()]), '00')
}

describe('work in pieces', () => {
  it.each([
    [0, 10, []],
    [1, 10, ['0+1']],
    [10, 10, ['0+10']],
    [25, 10, ['0+10', '10+10', '20+5']]
  ])('covers %d bytes in pieces of %d', async (length, piece, expected) => {
    const seen: string[] = []
    await inPieces(idleTask(), length, piece, (at, count) => {
      seen.push(`${at}+${count}`)
      return Promise.resolve()
    })
    expect(seen).toEqual(expected)
  })

  it('lets the loop turn between two pieces, and stops where the task was aborted', async () => {
    const task = idleTask()
    const seen: number[] = []
    await inPieces(task, 100, 10, (at) => {
      seen.push(at)
      if (at === 10) setImmediate(() => (task.aborted = true))
      return Promise.resolve()
    })
    expect(seen).toEqual([0, 10])
  })

  it('reads a range through, and fails where it cannot be read', async () => {
    const volume = new FakeVolume(2 * PIECE_BYTES)
    await readThrough(idleTask(), volume, 512, PIECE_BYTES + 512)
    expect(volume.calls).toEqual([`read 512+${PIECE_BYTES}`, `read ${512 + PIECE_BYTES}+512`])
    volume.broken.set('read', 'EIO')
    await expect(readThrough(idleTask(), volume, 0, 1)).rejects.toMatchObject({ code: 'EIO' })
  })

  it.each([
    ['', '', -1],
    ['00112233', '00112233', -1],
    ['ff112233', '00112233', 0],
    ['00112233', '00112232', 3]
  ])('finds where %s and %s differ: %d', (left, right, expected) => {
    expect(firstDifference(Buffer.from(left, 'hex'), Buffer.from(right, 'hex'))).toBe(expected)
  })
})
