import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSecretFile, secretFromVariable } from '../../../lib/target/config/secret.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-secret-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function file(content: string | Buffer, mode = 0o600): string {
  const path = join(folder, 'secret')
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

describe('readSecretFile', () => {
  it.each([
    ['without a line end', '123456789012', '123456789012'],
    ['with \\n', '123456789012\n', '123456789012'],
    ['with \\r\\n', '123456789012\r\n', '123456789012'],
    ['with blanks, which count', ' 1234567890 \n', ' 1234567890 '],
    ['of 255 bytes and a line end', `${'x'.repeat(255)}\r\n`, 'x'.repeat(255)],
    ['of letters that take more than a byte', '비밀번호', '비밀번호']
  ])('takes a secret %s', async (_title, content, secret) => {
    expect(await readSecretFile(file(content))).toEqual({ secret: Buffer.from(secret), warning: undefined })
  })

  it.each([
    ['that is empty', '', 'too short with 0 bytes'],
    ['of 11 bytes', '12345678901\n', 'too short with 11 bytes'],
    ['of 256 bytes', 'x'.repeat(256), 'too long'],
    ['of a megabyte', 'x'.repeat(2 ** 20), 'too long'],
    ['of two lines', '123456789012\n123\n', 'must be one line'],
    ['with two line ends', '123456789012\n\n', 'must be one line'],
    ['with a NUL', '123456789012\0', 'must be one line']
  ])('refuses a secret %s', async (_title, content, words) => {
    const result = await readSecretFile(file(content))
    expect(result).toEqual({ problem: expect.stringContaining(words) })
    if (content.length > 0) expect(JSON.stringify(result)).not.toContain(content.trim())
  })

  it('says that the file is missing', async () => {
    expect(await readSecretFile(join(folder, 'none'))).toEqual({
      problem: `the secret file ${join(folder, 'none')} does not exist`
    })
  })

  it('says that it is a folder', async () => {
    mkdirSync(join(folder, 'sub'))
    expect(await readSecretFile(join(folder, 'sub'))).toEqual({
      problem: `the secret file ${join(folder, 'sub')} is a folder`
    })
  })

  it.each([
    [0o600, false],
    [0o400, false],
    [0o640, true],
    [0o604, true],
    [0o644, true]
  ])('warns of mode %o: %p', async (mode, warns) => {
    const result = await readSecretFile(file('123456789012', mode))
    expect('warning' in result && result.warning !== undefined).toBe(warns)
  })
})

describe('secretFromVariable', () => {
  it('takes the value', () => {
    expect(secretFromVariable('CLOUDX_CHAP_SECRET', '123456789012\n')).toEqual({
      secret: Buffer.from('123456789012'),
      warning: undefined
    })
  })

  it('names the variable, not its value, when that is too short', () => {
    expect(secretFromVariable('CLOUDX_CHAP_SECRET', 'hunter2')).toEqual({
      problem: 'the secret in CLOUDX_CHAP_SECRET is too short with 7 bytes; it must have 12 to 255 bytes'
    })
  })
})
