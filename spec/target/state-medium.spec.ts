import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mediumWarning, stateMedium } from '../../lib/target/state-medium.js'

let directory: string
let mounts: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'state-medium-'))
  mounts = join(directory, 'mountinfo')
})
afterEach(() => rmSync(directory, { recursive: true }))

/** Lines as proc(5) has them. */
function mounted(...types: [string, string][]): void {
  const lines = types.map(([at, type], index) => `${20 + index} 1 8:${index} / ${at} rw,relatime - ${type} /dev/sda rw`)
  writeFileSync(mounts, `${lines.join('\n')}\n`)
}

describe('the medium of a state directory', () => {
  it.each([
    ['/srv/state', 'network', 'nfs4'],
    ['/pool/state', 'copy-on-write', 'btrfs'],
    ['/home/state', 'local', 'ext4']
  ])('of %s is %s', async (path, kind, name) => {
    mounted(['/', 'ext4'], ['/srv', 'nfs4'], ['/pool', 'btrfs'])
    expect(await stateMedium(path, mounts)).toEqual({ kind, name })
  })

  it('counts as local where the system does not tell', async () => {
    expect(await stateMedium('/srv', join(directory, 'missing'))).toEqual({ kind: 'local', name: 'unknown' })
  })

  it.each([
    ['\\\\nas\\share\\state', 'network'],
    ['\\\\?\\C:\\state', 'local'],
    ['\\\\.\\C:\\state', 'local']
  ])('of %s on Windows is %s', async (path, kind) => {
    expect((await stateMedium(path, join(directory, 'missing'))).kind).toBe(kind)
  })

  it('is worth a warning when it tells late that it is full, or needs room to write again', () => {
    const of = (kind: 'network' | 'copy-on-write' | 'local' | 'memory') => mediumWarning({ kind, name: 'it' }, '/srv')
    expect(of('network')).toMatch(/\/srv lies on it.*write-through/)
    expect(of('copy-on-write')).toMatch(/\/srv lies on it.*written again/)
    expect([of('local'), of('memory')]).toEqual([undefined, undefined])
  })
})
