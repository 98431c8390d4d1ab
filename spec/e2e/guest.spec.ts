import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeWith, run } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(600_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const LENGTH = 128 * 1024 * 1024
const GUEST = 'scripts/e2e/guest/guest.sh'
const SCRIPTS = 'scripts/e2e/guest/scripts'

describeWith(['qemu-system-x86_64', 'cpio', 'bc'], "a Linux kernel's initiator in a virtual machine", () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess
  let image: string
  let original: string
  let sum: string

  beforeEach(async () => {
    work = workDirectory()
    image = join(work.path, 'share.img')
    const content = Buffer.alloc(LENGTH)
    randomBytes(1024 * 1024).copy(content)
    writeFileSync(image, content)
    original = await sha256(image)
    sum = createHash('sha256')
      .update(content.subarray(0, 64 * 1024))
      .digest('hex')
    server = await start()
  })
  afterEach(async () => {
    await server.kill()
    work.remove()
  })

  const start = (port?: number) => ServerProcess.start(['--lun', image, '--target-name', TARGET], port === undefined ? {} : { port })
  const guest = (script: string, args: readonly string[] = [], options: readonly string[] = []) =>
    run('bash', [GUEST, '-t', '300', ...options, join(SCRIPTS, script), `PORT=${server.port}`, `SUM=${sum}`, ...args], {
      limitMs: 590_000
    })

  it('makes a file system with files on the disk, and finds the original after its logout', async () => {
    const { code, output } = await guest('restore.sh')
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('writes nothing to a disk that was swapped behind its back', async () => {
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const running = guest('fence.sh', [], ['-s', shared])
    while (!existsSync(join(shared, 'ready'))) await new Promise((resolve) => setTimeout(resolve, 100))
    await server.kill()
    const deltas = `${image}.cloudx/deltas`
    for (const name of readdirSync(deltas)) {
      for (const file of readdirSync(join(deltas, name))) {
        if (/\.(map|slots)$/.test(file)) rmSync(join(deltas, name, file))
      }
    }
    server = await start(server.port)
    writeFileSync(join(shared, 'swapped'), '')
    const { code, output } = await running
    expect(output).toContain('PASS: the client sees I/O errors')
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
    expect(await sha256(image)).toBe(original)
  })
})
