import { expect, it, jest } from '@jest/globals'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeWith, QemuIo } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(300_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const COUNT = 50
const MIB = 1024 * 1024

describeWith(['qemu-io'], 'fifty initiators at once', () => {
  it('each writes its own pattern to the same blocks and reads it back', async () => {
    const work = workDirectory()
    const image = join(work.path, 'share.img')
    writeFileSync(image, '')
    truncateSync(image, 64 * MIB)
    const original = await sha256(image)
    const server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
    try {
      const clients = await Promise.all(
        Array.from({ length: COUNT }, (_, index) =>
          QemuIo.open({ port: server.port, target: TARGET, initiatorName: `iqn.2026-01.org.example:pc-${index}` })
        )
      )
      const patterns = clients.map((_, index) => index + 1)
      await Promise.all(clients.map((client, index) => client.write(patterns[index]!, 0, 2 * MIB)))
      await Promise.all(clients.map((client, index) => client.write(patterns[index]!, 33 * MIB + 512, 1536)))
      const mine = await Promise.all(clients.map((client, index) => client.holds(patterns[index]!, 0, 2 * MIB)))
      const small = await Promise.all(
        clients.map((client, index) => client.holds(patterns[index]!, 33 * MIB + 512, 1536))
      )
      const around = await Promise.all(clients.map((client) => client.holds(0, 33 * MIB, 512)))
      expect([...mine, ...small, ...around].every(Boolean)).toBe(true)
      await Promise.all(clients.map((client) => client.quit()))
      expect(await server.stop()).toBe(0)
      expect(await sha256(image)).toBe(original)
    } finally {
      await server.kill()
      work.remove()
    }
  })
})
