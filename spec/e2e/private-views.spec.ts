import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeWith, QemuIo } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const IMAGE_LENGTH = 32 * 1024 * 1024
const MIB = 1024 * 1024

describeWith(['qemu-io'], 'private views of one image, seen by QEMU', () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess
  let image: string
  let original: string

  beforeEach(async () => {
    work = workDirectory()
    image = join(work.path, 'share.img')
    // The second MiB is one pattern, so that qemu-io can check for the original.
    const content = randomBytes(IMAGE_LENGTH)
    content.fill(0x11, MIB, 2 * MIB)
    writeFileSync(image, content)
    original = await sha256(image)
    server = await start()
  })
  afterEach(async () => {
    await server.kill()
    work.remove()
  })

  const start = (port?: number) =>
    ServerProcess.start(['--lun', image, '--target-name', TARGET], port === undefined ? {} : { port })
  const open = (name: string) =>
    QemuIo.open({ port: server.port, target: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })

  it('gives each initiator its own writes, nobody the others, and the image never changes', async () => {
    const [one, two] = await Promise.all([open('one'), open('two')])
    await Promise.all([one.write(0xa1, MIB, MIB / 2), two.write(0xb2, MIB, MIB / 2)])
    expect(await one.holds(0xa1, MIB, MIB / 2)).toBe(true)
    expect(await two.holds(0xb2, MIB, MIB / 2)).toBe(true)
    expect(await one.holds(0x11, MIB + MIB / 2, MIB / 2)).toBe(true)
    await Promise.all([one.quit(), two.quit()])
    const [again, other] = await Promise.all([open('one'), open('two')])
    expect(await again.holds(0x11, MIB, MIB)).toBe(true)
    expect(await other.holds(0x11, MIB, MIB)).toBe(true)
    await Promise.all([again.quit(), other.quit()])
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('keeps the writes of a client that vanished without a logout', async () => {
    const one = await open('one')
    await one.write(0xa1, MIB, 4096)
    await one.kill()
    const again = await open('one')
    expect(await again.holds(0xa1, MIB, 4096)).toBe(true)
    await again.quit()
    const fresh = await open('one')
    expect(await fresh.holds(0x11, MIB, 4096)).toBe(true)
    await fresh.quit()
  })

  it('keeps the writes of a client over a stop and a start of the server', async () => {
    const one = await open('one')
    await one.write(0xa1, MIB, 64 * 1024)
    expect(await server.stop('SIGTERM')).toBe(0)
    server = await start(server.port)
    expect(await one.holds(0xa1, MIB, 64 * 1024)).toBe(true)
    await one.quit()
    const fresh = await open('one')
    expect(await fresh.holds(0x11, MIB, 64 * 1024)).toBe(true)
    await fresh.quit()
  })

  it('keeps the writes of a client over a crash of the server', async () => {
    const one = await open('one')
    await one.write(0xa1, MIB, 64 * 1024)
    await server.kill()
    server = await start(server.port)
    expect(await one.holds(0xa1, MIB, 64 * 1024)).toBe(true)
    await one.quit()
  })
})
