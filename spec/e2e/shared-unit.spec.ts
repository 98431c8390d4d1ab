import { afterAll, beforeAll, expect, it, jest } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { QemuIo, describeWith } from '../support/programs.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:cluster'
const MIB = 2 ** 20

describeWith(['qemu-io'], 'a shared unit, with two QEMU initiators', () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess
  let image: string
  const args = () => ['--lun', `${image},shared`, '--size', '64M', '--blank', '--target-name', TARGET]
  const open = (name: string) =>
    QemuIo.open({ port: server.port, target: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })

  beforeAll(async () => {
    work = workDirectory()
    image = join(work.path, 'cluster.img')
    server = await ServerProcess.start(args())
  })
  afterAll(async () => {
    await server.kill()
    work.remove()
  })

  it('shows each what the other writes, in the image at once, and keeps it over logouts and a killed server', async () => {
    const [one, two] = [await open('node-1'), await open('node-2')]
    await one.write(0x41, MIB, 65536)
    expect(await two.holds(0x41, MIB, 65536)).toBe(true)
    await two.write(0x42, MIB + 4096, 4096)
    expect(await one.holds(0x42, MIB + 4096, 4096)).toBe(true)
    const found = readFileSync(image).subarray(MIB, MIB + 8192)
    expect(found.equals(Buffer.concat([Buffer.alloc(4096, 0x41), Buffer.alloc(4096, 0x42)]))).toBe(true)
    await one.quit()
    await two.quit()
    await server.kill()
    server = await ServerProcess.start(args())
    const three = await open('node-3')
    expect(await three.holds(0x42, MIB + 4096, 4096)).toBe(true)
    await three.quit()
  })

  it.each([
    ['private', ''],
    ['shared', ',shared']
  ])('lets no other server have the image, %s', async (_what, kind) => {
    const { code, log } = await ServerProcess.run(['--lun', `${image}${kind}`, '--state-dir', join(work.path, 'state')])
    expect(code).not.toBe(0)
    expect(log.join('\n')).toMatch(/is locked by/)
  })

  it('is refused beside a private view of the same image before anything starts', async () => {
    const { code, log } = await ServerProcess.run(['--lun', `${image},shared`, '--lun', image])
    expect(code).not.toBe(0)
    expect(log.join('\n')).toMatch(/an image is private or shared, never both/)
  })
})
