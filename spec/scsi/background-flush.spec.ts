import { describe, expect, it } from '@jest/globals'
import { setImmediate as turn } from 'node:timers/promises'
import { BackgroundFlush } from '../../lib/scsi/background-flush.js'
import { FakeVolume } from '../support/scsi.js'

describe('flushes that nobody waits for', () => {
  it('run one at a time, and however many are asked for meanwhile, one more follows', async () => {
    const volume = new FakeVolume(4096)
    const flush = new BackgroundFlush({ volume })
    volume.stalled = true
    for (let i = 0; i < 50; i++) flush.request()
    expect(volume.calls).toEqual(['flush'])
    volume.release()
    await turn()
    expect(volume.calls).toEqual(['flush', 'flush'])
    await turn()
    flush.request()
    expect(volume.calls).toHaveLength(3)
  })

  it('keep a failure until it is taken, once', async () => {
    const volume = new FakeVolume(4096)
    const flush = new BackgroundFlush({ volume })
    volume.broken.set('flush', 'EIO')
    flush.request()
    expect(flush.takeFailure()).toBeUndefined()
    await turn()
    expect(flush.takeFailure()).toMatchObject({ code: 'EIO' })
    expect(flush.takeFailure()).toBeUndefined()
  })
})
