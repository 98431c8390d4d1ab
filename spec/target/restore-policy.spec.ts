import { describe, expect, it } from '@jest/globals'
import type { Keeping } from '../../lib/target/policy.js'
import {
  isUndoable,
  loginEvent,
  restorePolicy,
  SAME_BOOT_MS,
  type DeltaEvent,
  type LoginCase
} from '../../lib/target/restore-policy.js'

const COLUMNS: readonly Keeping[] = ['logout', 'boot', 'manual', 'kept', 'author']

// Event; while another session of the initiator lives; then by what ends the delta, in the order of COLUMNS. Of what is
// kept, for how long: ∞ without end, g the grace time, c that of closed connections, · as it was.
const ROWS: readonly [DeltaEvent, string, string][] = [
  ['logout', '·', 'drop g ∞ ∞ ∞'],
  ['logout-on-request', '·', 'g g ∞ ∞ ∞'],
  ['logout-for-recovery', '·', 'g g ∞ ∞ ∞'],
  ['closed', '·', 'c c ∞ ∞ ∞'],
  ['lost', '·', 'g g ∞ ∞ ∞'],
  ['reinstated', '·', 'g g ∞ ∞ ∞'],
  ['stopped', '·', 'g g ∞ ∞ ∞'],
  ['unit-stopped', '·', '· · · · ·'],
  ['booted', '·', '· drop · · ·'],
  ['marked', '·', 'drop drop drop · ·'],
  ['login', '·', '· · · · ·'],
  ['server-started', '·', 'g g ∞ ∞ ∞'],
  ['grace-over', '·', 'lost lost ∞ ∞ ∞'],
  ['expired', '·', 'drop drop ∞ ∞ ∞'],
  ['operator', 'lost', 'lost lost lost · ·'],
  ['reset', '·', 'drop drop drop · ·'],
  ['author-discards', 'lost', 'lost lost lost · ·'],
  ['base-changed', 'lost', 'lost lost lost lost lost'],
  ['unreadable', 'lost', 'lost lost lost lost lost'],
  ['removed', 'lost', 'lost lost lost lost lost']
]

const VERDICTS: Readonly<Record<string, [string, string]>> = {
  '·': ['keep', 'none'],
  '∞': ['keep', 'unlimited'],
  g: ['keep', 'grace'],
  c: ['keep', 'grace-closed'],
  drop: ['drop', 'none'],
  lost: ['lost', 'none']
}

describe('restorePolicy', () => {
  it.each(ROWS)('at %s: %s while another session lives, else %s', (event, others, none) => {
    const verdict = (word: string) => ({ action: VERDICTS[word]![0], grace: VERDICTS[word]![1] })
    for (const keeping of COLUMNS) expect(restorePolicy(event, 1, keeping)).toEqual(verdict(others))
    expect(COLUMNS.map((keeping) => restorePolicy(event, 0, keeping))).toEqual(none.split(' ').map(verdict))
  })

  it('drops under the same identity only what its client has let go of', () => {
    const drops = ROWS.filter(([, , none]) => none.includes('drop')).map(([event]) => event)
    expect(drops).toEqual(['logout', 'booted', 'marked', 'expired', 'reset'])
  })

  it('lets what was dropped be undone, except when its time was over', () => {
    expect(ROWS.filter(([event]) => isUndoable(event)).map(([event]) => event)).toEqual([
      'logout',
      'booted',
      'marked',
      'reset'
    ])
  })
})

const IPXE = '40002723a5b7'
const OTHER_IPXE = '400027230001'
const WINDOWS = '400001370000'
const QEMU = '80a1b2c3d4e5'

describe('loginEvent', () => {
  const login = (changes: Partial<LoginCase>): LoginCase => ({
    isid: IPXE,
    lastIsid: WINDOWS,
    sinceBootMs: undefined,
    letGo: false,
    marked: false,
    spared: false,
    ...changes
  })

  it.each<[string, Partial<LoginCase>, string]>([
    ['iPXE after the system it booted last time', { sinceBootMs: 9 * SAME_BOOT_MS }, 'booted'],
    ['iPXE after that system logged out', { letGo: true }, 'booted'],
    ['the first login of iPXE at all', { lastIsid: undefined }, 'booted'],
    ['iPXE at once after the system (reset)', { sinceBootMs: 1000 }, 'booted'],
    ['iPXE with the ISID of the last session', { lastIsid: IPXE }, 'login'],
    ['iPXE that opens its disk again during a boot', { lastIsid: OTHER_IPXE, sinceBootMs: SAME_BOOT_MS - 1 }, 'login'],
    ['iPXE after iPXE, a boot later', { lastIsid: OTHER_IPXE, sinceBootMs: SAME_BOOT_MS }, 'booted'],
    ['iPXE after iPXE, the clock set back between', { lastIsid: OTHER_IPXE, sinceBootMs: -1 }, 'booted'],
    ['the system that iPXE has booted', { isid: WINDOWS, lastIsid: IPXE, sinceBootMs: 5000 }, 'login'],
    ['a reconnect with the last ISID', { isid: WINDOWS }, 'login'],
    ['a reconnect under a random ISID', { isid: QEMU, lastIsid: '80a1b2c3d4e6' }, 'login'],
    ['a login after a logout', { isid: WINDOWS, letGo: true }, 'login'],
    ['iPXE after an undo', { spared: true }, 'login'],
    ['a marked client that has logged out', { isid: WINDOWS, letGo: true, marked: true }, 'marked'],
    ['a marked client that reconnects', { isid: WINDOWS, marked: true }, 'login'],
    ['a marked client under another ISID, without logout', { isid: QEMU, marked: true }, 'login'],
    ['a marked client that boots by iPXE', { marked: true }, 'marked'],
    ['a marked client that boots after an undo', { marked: true, spared: true }, 'marked'],
    ['iPXE that opens its disk again, marked', { lastIsid: IPXE, marked: true }, 'login']
  ])('%s', (_title, changes, event) => {
    expect(loginEvent(login(changes))).toBe(event)
  })
})
