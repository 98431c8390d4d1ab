import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { newSecret, secretOn } from '../../../lib/cli/commands/secret.js'
import { main } from '../../../lib/cli/index.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-secret-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function run(argv: string[], environment: Record<string, string> = {}, platform: NodeJS.Platform = 'linux') {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const context = { environment, directory: folder, stdout, stderr }
  const exitCode = await main(['secret', ...argv], context, [secretOn(platform)])
  return { exitCode, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

const file = (name: string) => readFileSync(join(folder, name), 'utf8')

describe('cloudx secret new', () => {
  // QEMU takes a line end behind the secret for a part of it.
  it('makes a file with a secret of 16 plain characters and nothing else, that only its owner can read', async () => {
    const { exitCode, stdout } = await run(['new'])
    expect(exitCode).toBe(0)
    expect(file('cloudx.secret')).toMatch(/^[2-9A-HJ-NP-Za-km-np-z]{16}$/)
    expect(statSync(join(folder, 'cloudx.secret')).mode & 0o777).toBe(0o600)
    expect(stdout).toContain('  cloudx share.img --chap-user pc --chap-secret-file cloudx.secret\n')
    expect(stdout).not.toContain(file('cloudx.secret'))
  })

  it('makes another one each time', () => {
    expect(new Set(Array.from({ length: 100 }, newSecret)).size).toBe(100)
  })

  it('quotes the name of the file for the shell', async () => {
    expect((await run(['new', "it's mine"])).stdout).toContain("--chap-secret-file 'it'\\''s mine'\n")
    expect((await run(['new', "it's yours"], {}, 'win32')).stdout).toContain("--chap-secret-file 'it''s yours'\n")
  })

  it('shows how to keep it from other users where Node cannot', async () => {
    const { stdout } = await run(['new', 'key'], {}, 'win32')
    expect(stdout).toContain(`  icacls '${join(folder, 'key')}' /inheritance:r /grant:r "\${env:USERNAME}:F"\n`)
  })

  it('speaks the language of the system, or that of --language', async () => {
    expect((await run(['new', 'a'], { LANG: 'ko_KR.UTF-8' })).stdout).toContain('암호')
    expect((await run(['new', 'b', '--language', 'ko'], { LANG: 'C' })).stdout).toContain('암호')
    expect((await run(['new', 'c', '--language', 'en'], { LANG: 'ko_KR.UTF-8' })).stdout).not.toContain('암호')
  })

  it('never overwrites a file, nor what a link leads to', async () => {
    writeFileSync(join(folder, 'old'), 'precious')
    symlinkSync('nowhere', join(folder, 'link'))
    for (const name of ['old', 'link']) {
      const { exitCode, stdout, stderr } = await run(['new', name])
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
      expect(stderr).toMatch(/^cloudx: \w+ exists already and is left as it is/)
    }
    expect(file('old')).toBe('precious')
  })

  it.each([
    [['old'], /cloudx: .*action/],
    [[], /cloudx: .*/],
    [['new', 'a', '--language', 'fr'], /cloudx: --language: "fr" must be en or ko/],
    [['new', 'no/such/folder/a'], /cloudx: .*no\/such\/folder\/a does not exist\./]
  ])('refuses %j with a sentence', async (argv, message) => {
    const { exitCode, stderr } = await run(argv)
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(message)
  })
})
