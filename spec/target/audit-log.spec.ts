import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { AuditLog, type AuditEntry } from '../../lib/target/audit-log.js'
import { codeOf } from '../../lib/util/errors.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudx-audit-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const entry = (changes: Partial<AuditEntry> = {}): AuditEntry => ({
  action: 'export',
  targetName: 'iqn.2025-01.org.example:disk',
  initiatorName: 'iqn.2025-01.org.example:pc',
  by: 'kim',
  details: { lun: 0 },
  ...changes
})
const AT = Date.UTC(2026, 0, 31, 8, 15, 2)

describe('AuditLog', () => {
  it('writes a line of JSON each, which its user alone can read', async () => {
    const log = new AuditLog(folder, () => AT)
    await Promise.all([
      log.note(entry()),
      log.note(entry({ action: 'rescue', by: undefined, details: { path: '/a "b"\n' } }))
    ])
    const lines = (await readFile(log.path, 'utf8')).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        time: '2026-01-31T08:15:02.000Z',
        action: 'export',
        initiatorName: 'iqn.2025-01.org.example:pc',
        targetName: 'iqn.2025-01.org.example:disk',
        by: 'kim',
        lun: 0
      },
      expect.objectContaining({ action: 'rescue', path: '/a "b"\n' })
    ])
    expect((await stat(log.path)).mode & 0o777).toBe(0o600)
  })

  it('starts a new file when one is full, and keeps so many', async () => {
    const log = new AuditLog(folder, () => AT, { bytes: 400, count: 3 })
    for (let number = 0; number < 20; number++) await log.note(entry({ details: { number } }))
    expect((await readdir(folder)).sort()).toEqual(['audit-1.log', 'audit-2.log', 'audit.log'])
    const newest = async (name: string) => (await readFile(join(folder, name), 'utf8')).trimEnd().split('\n').at(-1)!
    expect(JSON.parse(await newest('audit.log'))).toMatchObject({ number: 19 })
    expect((await stat(join(folder, 'audit-1.log'))).size).toBeLessThanOrEqual(400)
  })

  it('bounds what somebody says of himself', async () => {
    const log = new AuditLog(folder, () => AT)
    await log.note(entry({ by: 'x'.repeat(100_000) }))
    expect((await stat(log.path)).size).toBeLessThan(5000)
  })

  it('fails when it cannot write', async () => {
    const log = new AuditLog(join(folder, 'nowhere'), () => AT)
    expect(await log.note(entry()).then(() => 'noted', codeOf)).toBe('ENOENT')
  })
})
