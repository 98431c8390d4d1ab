import { describe, expect, it } from '@jest/globals'
import { CopyResults, MAX_CONCURRENT_COPIES, MAX_COPY_RESULTS } from '../../lib/scsi/copy-results.js'

describe('CopyResults', () => {
  it('knows a copy by its identifier, the newest of them', () => {
    const copies = new CopyResults()
    const first = copies.begin(3)!
    expect(copies.begin(3)).toBeUndefined()
    copies.end(first, 'good')
    const second = copies.begin(3)!
    expect(copies.get(3)).toBe(second)
    expect(copies.get(4)).toBeUndefined()
  })

  it('forgets the oldest that has ended, and never one under way', () => {
    const copies = new CopyResults()
    const running = copies.begin(100)!
    for (let listId = 0; listId < MAX_COPY_RESULTS; listId++) copies.end(copies.begin(listId)!, 'failed')
    expect(copies.get(100)).toBe(running)
    expect([copies.get(0), copies.get(1)?.state]).toEqual([undefined, 'failed'])
  })

  it('lets no more run at once than it promises, with or without an identifier', () => {
    const copies = new CopyResults()
    const begun = Array.from({ length: MAX_CONCURRENT_COPIES }, () => copies.begin(undefined)!)
    expect(copies.begin(undefined)).toBeUndefined()
    copies.end(begun[0]!, 'good')
    expect(copies.begin(9)).toBeDefined()
  })
})
