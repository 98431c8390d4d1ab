import { describe, expect, it } from '@jest/globals'
import { undoHint } from '../../lib/target/undo-hint.js'

const now = new Date(2026, 0, 31, 13, 5).getTime()
const PC = 'iqn.1991-05.com.microsoft:pc'

describe('undoHint', () => {
  it('names the time and a command that works in every folder', () => {
    expect(undoHint(PC, '/disks/share.img.cloudx', now + 3_600_000, now)).toBe(
      `undo until 14:05: cloudx delta undo ${PC} --state-dir /disks/share.img.cloudx`
    )
  })

  it('names the day when it is another one', () => {
    expect(undoHint(PC, '/d', now + 24 * 3_600_000, now)).toContain('until 2026-02-01 13:05:')
  })

  const quoted = process.platform === 'win32' ? `"/my disks/a"` : `'/my disks/a'`
  it('quotes a path with blanks for the shell', () => {
    expect(undoHint(PC, '/my disks/a', now, now)).toMatch(new RegExp(`--state-dir ${quoted}$`))
    expect(undoHint(PC, '/내 디스크', now, now)).not.toMatch(/--state-dir \//)
  })
})
