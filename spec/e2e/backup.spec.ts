import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { spawn } from 'node:child_process'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
const TARGET = 'iqn.2026-01.org.example:disk'
const STUDIO = 'iqn.2026-01.org.example:studio'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const LENGTH = 16 * MIB

let work: ReturnType<typeof workDirectory>
let image: string
let backups: string
let server: ServerProcess | undefined
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  backups = join(work.path, 'usb')
  writeFileSync(image, new Random(20261123).bytes(Buffer.alloc(LENGTH)))
  server = await start()
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = () =>
  ServerProcess.start(['--lun', image, '--target-name', TARGET, '--policy', `${STUDIO}=author`, '--undo', '0'])
const open = (initiatorName: string) => QemuIo.open({ port: server!.port, target: TARGET, initiatorName })
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, 'image', ...args], { cwd: work.path })

async function order(...args: string[]): Promise<Record<string, unknown>> {
  const { code, output } = await cloudx(...args, '--json')
  if (code !== 0) throw new Error(output)
  return JSON.parse(output.slice(output.indexOf('{'))) as Record<string, unknown>
}

async function publish(fill: number, offset: number): Promise<void> {
  const disk = await open(STUDIO)
  await disk.write(fill, offset, MIB)
  await disk.quit()
  await order('publish')
}

/** What qemu-img reads through the target. */
async function served(): Promise<string> {
  const copy = join(work.path, 'served.img')
  await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), copy])
  return sha256(copy)
}

describeWith(['qemu-img', 'qemu-io'], 'a backup', () => {
  it('is made while everybody works, holds what differs, and is given back byte for byte', async () => {
    const client = await open(PC)
    await client.write(0x77, 0, MIB)
    expect(await order('backup', backups)).toMatchObject({ number: 1, isNew: true, storedBytes: LENGTH })
    const sums = [await served()]
    for (const [fill, offset] of [
      [0x11, 0],
      [0x22, 10 * MIB]
    ] as const) {
      await publish(fill, offset)
      expect(await order('backup', backups)).toMatchObject({ isNew: true, storedBytes: MIB })
      sums.push(await served())
    }
    // A merge does not matter: what is there already is known by its hashes.
    await client.quit()
    expect((await cloudx('flatten', '--yes')).code).toBe(0)
    await publish(0x33, 7 * MIB)
    expect(await order('backup', backups, '--keep', '2')).toMatchObject({ isNew: true, storedBytes: MIB, removed: 2 })
    sums.push(await served())
    expect((await cloudx('backup', backups)).output).toMatch(/generation 3 already; nothing was written/)
    for (const [number, sum] of [
      ['3', sums[2]!],
      ['4', sums[3]!]
    ] as const) {
      await order('restore', backups, `${number}.img`, '--backup', number)
      expect(await sha256(join(work.path, `${number}.img`))).toBe(sum)
    }
    expect((await cloudx('restore', backups, '1.img', '--backup', '1')).output).toMatch(/no backup 1 .* but 3, 4/)
    expect((await cloudx('restore', backups)).output).toMatch(/^3 .* whole .*\n4 .* changes/m)
    const refused = await cloudx('restore', backups, 'share.img', '--yes')
    expect([refused.code, refused.output]).toEqual([1, expect.stringMatching(/a server shares .*: stop it first/)])
    expect(await server!.stop()).toBe(0)
    expect((await cloudx('restore', backups, 'share.img', '--backup', '3')).output).toMatch(/is replaced .*add --yes/)
    expect((await cloudx('restore', backups, 'share.img', '--backup', '3', '--yes')).code).toBe(0)
    expect(await sha256(image)).toBe(sums[2]!)
    server = await start()
    expect(await served()).toBe(sums[2]!)
  })

  it('that is killed in the middle goes on where it was', async () => {
    await server!.stop()
    // Long enough to be met in the middle: every MiB is hashed, also of a hole.
    truncateSync(image, 300 * MIB)
    server = await start()
    const child = spawn(process.execPath, [PROGRAM, 'image', 'backup', backups], { cwd: work.path, stdio: 'ignore' })
    await until('a part of it is noted', () => existsSync(join(backups, '000001.draft')))
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
    expect(readdirSync(backups)).not.toContain('000001.json')
    const { done } = JSON.parse(readFileSync(join(backups, '000001.draft'), 'utf8')) as { done: number }
    expect(done).toBeGreaterThanOrEqual(64)
    expect(await order('backup', backups)).toMatchObject({ number: 1, isNew: true })
    await order('restore', backups, 'copy.img')
    expect(await sha256(join(work.path, 'copy.img'))).toBe(await sha256(image))
  })

  it('that has rotted is never given back', async () => {
    await order('backup', backups)
    const raw = join(backups, '000001.raw')
    const bytes = readFileSync(raw)
    bytes[7 * MIB + 5]! ^= 4
    writeFileSync(raw, bytes)
    const { code, output } = await cloudx('restore', backups, 'copy.img')
    expect([code, output]).toEqual([1, expect.stringMatching(/000001\.raw \(from byte 7340032 on\) is .*not what was/)])
    expect(existsSync(join(work.path, 'copy.img'))).toBe(false)
  })
})
