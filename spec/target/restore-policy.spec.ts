import { describe, expect, it } from '@jest/globals'
import { restorePolicy, type DeltaEvent } from '../../lib/target/restore-policy.js'

// Event, then action and grace while another session of the initiator lives, then when none does.
const ROWS: readonly [DeltaEvent, string, string, string, string][] = [
  ['logout', 'keep', 'none', 'drop', 'none'],
  ['logout-on-request', 'keep', 'none', 'keep', 'grace'],
  ['logout-for-recovery', 'keep', 'none', 'keep', 'grace'],
  ['closed', 'keep', 'none', 'keep', 'grace-closed'],
  ['lost', 'keep', 'none', 'keep', 'grace'],
  ['reinstated', 'keep', 'none', 'keep', 'grace'],
  ['stopped', 'keep', 'none', 'keep', 'grace'],
  ['unit-stopped', 'keep', 'none', 'keep', 'none'],
  ['server-started', 'keep', 'none', 'keep', 'grace'],
  ['grace-over', 'keep', 'none', 'lost', 'none'],
  ['operator', 'lost', 'none', 'lost', 'none'],
  ['author-discards', 'lost', 'none', 'lost', 'none'],
  ['base-changed', 'lost', 'none', 'lost', 'none'],
  ['unreadable', 'lost', 'none', 'lost', 'none'],
  ['removed', 'lost', 'none', 'lost', 'none']
]

describe('restorePolicy', () => {
  it.each(ROWS)(
    'at %s: %s (%s) while another session lives, else %s (%s)',
    (event, action, grace, alone, aloneGrace) => {
      expect(restorePolicy(event, 1)).toEqual({ action, grace })
      expect(restorePolicy(event, 7)).toEqual({ action, grace })
      expect(restorePolicy(event, 0)).toEqual({ action: alone, grace: aloneGrace })
    }
  )

  it.each<[DeltaEvent, string, string]>([
    ['logout', 'keep', 'unlimited'],
    ['logout-on-request', 'keep', 'unlimited'],
    ['logout-for-recovery', 'keep', 'unlimited'],
    ['closed', 'keep', 'unlimited'],
    ['lost', 'keep', 'unlimited'],
    ['reinstated', 'keep', 'unlimited'],
    ['stopped', 'keep', 'unlimited'],
    ['server-started', 'keep', 'unlimited'],
    ['grace-over', 'keep', 'unlimited'],
    ['unit-stopped', 'keep', 'none'],
    ['operator', 'lost', 'none'],
    ['author-discards', 'lost', 'none'],
    ['base-changed', 'lost', 'none'],
    ['unreadable', 'lost', 'none'],
    ['removed', 'lost', 'none']
  ])('keeps what an author of generations wrote: at %s %s (%s)', (event, action, grace) => {
    expect(restorePolicy(event, 0, 'author')).toEqual({ action, grace })
    expect(restorePolicy(event, 1, 'author')).toEqual(restorePolicy(event, 1))
  })

  it('drops under the same identity after nothing but a logout of the client itself', () => {
    const drops = ROWS.filter(([event]) => [0, 1].some((left) => restorePolicy(event, left).action === 'drop'))
    expect(drops.map(([event]) => event)).toEqual(['logout'])
  })
})
