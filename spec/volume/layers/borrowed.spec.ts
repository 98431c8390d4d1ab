import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { BorrowedVolume } from '../../../lib/volume/layers/borrowed.js'
import { FaultPlan, FaultVolume } from '../../../lib/volume/layers/fault.js'
import { flushVolume, readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { codeOf } from '../../../lib/util/errors.js'

describe('a borrowed volume', () => {
  it('passes every verb on, and neither opens nor closes what it was lent', async () => {
    const lent = new MemoryVolume(65536, false)
    await lent.open()
    const borrowed = new BorrowedVolume(lent)
    await borrowed.open()
    await writeVolume(borrowed, Buffer.alloc(8192, 5), 4096)
    await zeroVolume(borrowed, 4096, 4096, true)
    await flushVolume(borrowed)
    expect([borrowed.size, borrowed.readOnly, borrowed.slow, borrowed.uncommitted]).toEqual([
      65536,
      false,
      false,
      false
    ])
    await borrowed.close()
    const found = Buffer.alloc(16384)
    await readVolume(lent, found, 0)
    expect(found.equals(Buffer.concat([Buffer.alloc(8192), Buffer.alloc(4096, 5), Buffer.alloc(4096)]))).toBe(true)
  })

  it('is read-only when what it was lent is, and fails as that does', async () => {
    const plan = new FaultPlan()
    const lent = new FaultVolume(new MemoryVolume(65536, true), plan)
    const borrowed = new BorrowedVolume(lent)
    await expect(writeVolume(borrowed, Buffer.alloc(512), 0)).rejects.toMatchObject({ code: 'EROFS' })
    // Nobody opened it.
    expect(await readVolume(borrowed, Buffer.alloc(512), 0).then(() => 'done', codeOf)).toBe('EBADF')
  })
})
