import { afterAll, beforeAll, expect, it, jest } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeWith, run, succeed } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const IMAGE_LENGTH = 48 * 1024 * 1024

let work: ReturnType<typeof workDirectory>
let server: ServerProcess
let image: string
let original: string

beforeAll(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, randomBytes(IMAGE_LENGTH))
  original = await sha256(image)
  server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
})
afterAll(async () => {
  await server.kill()
  work.remove()
})

describeWith(['iscsi-ls', 'iscsi-inq', 'iscsi-readcapacity16'], 'the tools of libiscsi', () => {
  it('find the target and its disk at the address that they reached', async () => {
    const printed = await succeed('iscsi-ls', ['-s', `iscsi://127.0.0.1:${server.port}`])
    expect(printed).toContain(`Target:${TARGET} Portal:127.0.0.1:${server.port},1`)
    expect(printed).toMatch(/Lun:0\s+Type:DIRECT_ACCESS \(Size:47M\)/)
  })

  it('read the INQUIRY data and the pages that say who the disk is', async () => {
    const url = server.url(TARGET)
    const standard = await succeed('iscsi-inq', [url])
    expect(standard).toMatch(/Peripheral Device Type:DIRECT_ACCESS/)
    expect(standard).toMatch(/Removable:0/)
    const serial = await succeed('iscsi-inq', ['-e', '1', '-c', '128', url])
    expect(serial).toMatch(/Unit Serial Number:\[[!-~]+\]/)
    const designators = await succeed('iscsi-inq', ['-e', '1', '-c', '131', url])
    expect(designators).toMatch(/NAA/)
    expect(await succeed('iscsi-inq', ['-e', '1', '-c', '178', url])).toMatch(/lbpu:1/)
  })

  it('read the capacity', async () => {
    const printed = await succeed('iscsi-readcapacity16', [server.url(TARGET)])
    expect(printed).toContain(`Total size:${IMAGE_LENGTH}`)
    expect(printed).toMatch(/LBPME:1 LBPRZ:1/)
  })
})

describeWith(['qemu-img', 'qemu-io'], "QEMU's initiator", () => {
  const url = () => server.url(TARGET)

  it('sees a raw disk of the right size', async () => {
    const info = JSON.parse(await succeed('qemu-img', ['info', '--output=json', url()])) as Record<string, unknown>
    expect(info['virtual-size']).toBe(IMAGE_LENGTH)
  })

  it('copies the whole disk out, byte for byte', async () => {
    const copy = join(work.path, 'copy.img')
    await succeed('qemu-img', ['convert', '-O', 'raw', url(), copy])
    expect(await sha256(copy)).toBe(original)
    expect(await succeed('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', url(), image])).toMatch(/identical/)
  })

  it('copies a whole disk in, compares it, and leaves the image alone', async () => {
    const source = join(work.path, 'source.img')
    writeFileSync(source, randomBytes(IMAGE_LENGTH))
    await succeed('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, url()])
    // The copy ended with a logout: the next one sees the image again.
    const { code } = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', url(), image])
    expect(code).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it.each([
    ['4 KiB reads', ['-c', '20000', '-d', '32', '-s', '4096']],
    ['4 KiB writes', ['-w', '-c', '10000', '-d', '32', '-s', '4096']],
    ['64 KiB writes with a flush now and then', ['-w', '-c', '400', '-d', '16', '-s', '65536', '--flush-interval=50']],
    ['1 MiB reads', ['-c', '100', '-d', '8', '-s', '1048576']],
    ['1 MiB writes', ['-w', '-c', '100', '-d', '8', '-s', '1048576']]
  ])('runs a bench of %s', async (_title, args) => {
    const printed = await succeed('qemu-img', ['bench', '-f', 'raw', '-t', 'none', ...args, url()])
    expect(printed).toMatch(/Run completed/)
  })

  it('writes, discards and zeroes ranges of all sizes and reads them back', async () => {
    const commands = [
      'write -P 1 0 1M',
      'write -P 2 4096 4096',
      'write -P 3 512 1536',
      'read -P 1 0 512',
      'read -P 3 512 1536',
      'read -P 1 2048 2048',
      'read -P 2 4096 4096',
      'discard 64k 64k',
      'read -P 0 64k 64k',
      'write -z 200k 3k',
      'read -P 0 200k 3k',
      'read -P 1 203k 1k',
      'write -z -u 256k 128k',
      'read -P 0 256k 128k',
      'write -f -P 7 8M 3M',
      'read -P 7 8M 3M',
      'flush'
    ]
    const printed = await succeed('qemu-io', ['-f', 'raw', ...commands.flatMap((line) => ['-c', line]), url()])
    expect(printed).not.toMatch(/failed|error/i)
  })
})
