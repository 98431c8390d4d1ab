import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { CopyPart } from '../../lib/admin/client.js'
import { formatOf, needQemuImg, writeCopy, writeQcow2 } from '../../lib/cli/copy-file.js'
import { whoami } from '../../lib/cli/whoami.js'
import { codeOf, IscsiError } from '../../lib/util/errors.js'
import { describeWith, succeed } from '../support/programs.js'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-copy-'))
  file = join(folder, 'copy.img')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const SIZE = 1 << 20
async function* parts(end?: Error): AsyncGenerator<CopyPart> {
  await Promise.resolve()
  yield { kind: 'size', lengthBytes: SIZE }
  yield { kind: 'data', offset: 65536, bytes: Buffer.from('abc') }
  if (end) throw end
  yield { kind: 'reached', offset: SIZE }
}
type Write = (
  this: FileHandle,
  bytes: Buffer,
  start: number,
  length: number,
  position: number
) => Promise<{ bytesWritten: number }>

const nothing = () => undefined

describe('writeCopy', () => {
  it('makes a sparse file for its user alone, and tells how far it is', async () => {
    const seen: number[] = []
    expect(await writeCopy(parts(), file, (done) => seen.push(done))).toBe(SIZE)
    const status = statSync(file)
    expect([status.size, status.mode & 0o777, status.blocks * 512 < SIZE / 2]).toEqual([SIZE, 0o600, true])
    expect(readFileSync(file).subarray(65536, 65540)).toEqual(Buffer.from('abc\0'))
    expect(seen).toEqual([65539, SIZE])
  })

  it('goes on behind a write that the disk took only a part of', async () => {
    const handle = await open(folder)
    const prototype = Object.getPrototypeOf(handle) as { write: Write }
    await handle.close()
    const { write } = prototype
    prototype.write = function (bytes, start, length, position) {
      return write.call(this, bytes, start, Math.min(length, 2), position)
    }
    try {
      await writeCopy(parts(), file, nothing)
    } finally {
      prototype.write = write
    }
    expect(readFileSync(file).subarray(65536, 65540)).toEqual(Buffer.from('abc\0'))
  })

  it('leaves nothing when the copy breaks off, and no file of others is touched', async () => {
    const broken = writeCopy(parts(new IscsiError('ERR_ISCSI_DELTA_LIVE', 'it came')), file, nothing)
    expect(await broken.then(() => 'done', codeOf)).toBe('ERR_ISCSI_DELTA_LIVE')
    expect(readdirSync(folder)).toEqual([])
    writeFileSync(file, 'mine')
    expect(await writeCopy(parts(), file, nothing).then(() => 'done', codeOf)).toBe('ERR_ISCSI_IMAGE_EXISTS')
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })
})

describeWith(['qemu-img'], 'writeQcow2', () => {
  it('makes a file that qemu-img reads as the same disk', async () => {
    await needQemuImg()
    const qcow2 = join(folder, 'copy.qcow2')
    await writeCopy(parts(), file, nothing)
    await writeQcow2(parts(), qcow2, nothing)
    expect(await succeed('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', file, qcow2])).toContain('identical')
    expect(statSync(qcow2).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder).sort()).toEqual(['copy.img', 'copy.qcow2'])
  })
})

describe('formatOf', () => {
  it.each([
    ['a.img', 'raw'],
    ['a.QCOW2', 'qcow2'],
    ['qcow2', 'raw']
  ])('takes %s for %s', (path, format) => {
    expect(formatOf(path)).toBe(format)
  })
})

describe('whoami', () => {
  it('names the user, and behind sudo whoever called it', () => {
    const user = whoami({})
    expect(user).not.toBe('')
    expect(whoami({ SUDO_USER: 'kim' })).toBe(`kim (as ${user})`)
    expect(whoami({ SUDO_USER: user })).toBe(user)
  })
})
