import { describe, expect, it } from '@jest/globals'
import { ImageTurns, type ImageNews } from '../../../lib/target/workers/image-turns.js'

/** Turns that note what the others were told, and how far each step has come. */
function turnsWithLog(): { turns: ImageTurns; log: string[] } {
  const log: string[] = []
  const turns = new ImageTurns((worker, uuid, news: ImageNews) => {
    log.push(`${worker} ${uuid} ${news.kind}`)
    return Promise.resolve()
  })
  return { turns, log }
}

describe('changes of the generations of an image', () => {
  it('are made by one worker at a time, in the order in which they asked', async () => {
    const { turns, log } = turnsWithLog()
    await turns.take(0, 'a')
    const waiting = [1, 2].map((worker) => turns.take(worker, 'a').then(() => log.push(`${worker} begins`)))
    await turns.end(0, 'a')
    await waiting[0]
    expect(log).toEqual(['0 a changed', '1 begins'])
    await turns.end(1, 'a')
    await waiting[1]
    expect(log).toEqual(['0 a changed', '1 begins', '1 a changed', '2 begins'])
  })

  it('do not wait for those of another image', async () => {
    const { turns } = turnsWithLog()
    await turns.take(0, 'a')
    await turns.take(1, 'b')
  })

  it('are told to the others before the next one begins', async () => {
    let heard = () => {}
    const turns = new ImageTurns(() => new Promise((resolve) => (heard = resolve)))
    await turns.take(0, 'a')
    let begun = false
    const next = turns.take(1, 'a').then(() => (begun = true))
    const ended = turns.end(0, 'a')
    await Promise.resolve()
    expect(begun).toBe(false)
    heard()
    await Promise.all([ended, next])
    expect(begun).toBe(true)
  })

  it('are over with the worker that made them; the others look what became of them', async () => {
    const { turns, log } = turnsWithLog()
    await turns.take(0, 'a')
    const next = turns.take(1, 'a')
    await turns.ended(0)
    await next
    expect(log).toEqual(['0 a changed'])
    // What it says afterwards is too late, and ends nobody else's turn.
    await turns.end(0, 'a')
    expect(log).toHaveLength(1)
  })

  it('are not those of the process that takes the place of one that has ended', async () => {
    const heard: (() => void)[] = []
    const turns = new ImageTurns(() => new Promise((resolve) => heard.push(resolve)))
    for (const uuid of ['a', 'b']) await turns.take(0, uuid)
    const ended = turns.ended(0)
    // It is there while the others are still being told.
    const again = ['a', 'b'].map((uuid) => turns.take(1, uuid))
    for (const hear of heard) hear()
    await Promise.all([ended, ...again])
    // A late word of the old one ends nothing.
    await turns.end(0, 'a')
    expect(heard).toHaveLength(2)
  })

  it('are not waited for by a worker that has ended', async () => {
    const { turns } = turnsWithLog()
    await turns.take(0, 'a')
    void turns.take(1, 'a')
    const last = turns.take(2, 'a')
    await turns.ended(1)
    await turns.end(0, 'a')
    await last
  })
})

describe('a merge', () => {
  it('is known to all but the worker that makes it, until it has ended', async () => {
    const { turns, log } = turnsWithLog()
    await turns.tell(10, 0, 'a', { kind: 'merging' })
    expect([0, 1].map((worker) => turns.isMerging(worker, 'a'))).toEqual([false, true])
    expect(turns.isMerging(1, 'b')).toBe(false)
    await turns.tell(10, 0, 'a', { kind: 'merged' })
    expect(turns.isMerging(1, 'a')).toBe(false)
    expect(log).toEqual(['10 a merging', '10 a merged'])
  })

  it('goes on after the end of its worker', async () => {
    const { turns } = turnsWithLog()
    await turns.tell(10, 0, 'a', { kind: 'merging' })
    await turns.ended(10)
    expect(turns.isMerging(1, 'a')).toBe(true)
  })
})
