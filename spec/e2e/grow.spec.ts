import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run } from '../support/programs.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(16 * MIB, 0x11))
  server = await start()
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = () => ServerProcess.start(['--lun', image, '--target-name', TARGET])
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, 'image', ...args], { cwd: work.path })
const login = (initiatorName: string) => ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName })

/** READ CAPACITY(10): the last block, and the bytes of one. */
async function lastBlock(initiator: ScriptedInitiator): Promise<number> {
  const { data } = await initiator.command([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], { read: 8 })
  expect(data.readUInt32BE(4)).toBe(512)
  return data.readUInt32BE(0)
}

describeWith(['qemu-io'], 'a disk that grows', () => {
  it('is told to sessions by 2A/09, with a larger READ CAPACITY, and is one for QEMU that asks', async () => {
    const client = await login(PC)
    await client.command([0, 0, 0, 0, 0, 0])
    expect(await lastBlock(client)).toBe((16 * MIB) / 512 - 1)
    const qemu = await QemuIo.open({ port: server!.port, target: TARGET, initiatorName: `${PC}-qemu` })
    await qemu.write(0x77, 8 * MIB, MIB)
    const { code, output } = await cloudx('grow', '32M')
    expect([code, output]).toEqual([0, expect.stringMatching(/a disk of 32 MiB\.\nAlready logged in and told .*: 2\./)])
    expect((await client.command([0, 0, 0, 0, 0, 0])).senseText).toBe('06/2a/09')
    expect((await client.command([0, 0, 0, 0, 0, 0])).status).toBe(0)
    expect(await lastBlock(client)).toBe((32 * MIB) / 512 - 1)
    // QEMU learns the new length when it is asked to, and takes it from the disk.
    await qemu.command('truncate 32M')
    expect(await qemu.command('length')).toMatch(/^32 MiB/m)
    await qemu.write(0x88, 31 * MIB, MIB)
    expect(await qemu.holds(0x77, 8 * MIB, MIB)).toBe(true)
    expect(await qemu.holds(0x11, 15 * MIB, MIB)).toBe(true)
    expect(await qemu.holds(0, 16 * MIB, MIB)).toBe(true)
    expect(await qemu.holds(0x88, 31 * MIB, MIB)).toBe(true)
    await client.leave()
    await qemu.quit()
  })

  it('keeps what was written on it over kill -9 right behind', async () => {
    const client = await login(PC)
    await client.command([0, 0, 0, 0, 0, 0])
    const write = (block: number, fill: number) =>
      client.command([0x2a, 0, 0, 0, block >> 8, block & 0xff, 0, 0, 8, 0], { write: Buffer.alloc(4096, fill) })
    expect((await write(0, 0x55)).status).toBe(0)
    expect((await cloudx('grow', '20M')).code).toBe(0)
    await client.command([0, 0, 0, 0, 0, 0])
    expect((await write(40000, 0x66)).status).toBe(0)
    await server!.kill()
    server = await start()
    const qemu = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: PC })
    expect(await qemu.holds(0x55, 0, 4096)).toBe(true)
    expect(await qemu.holds(0x66, 40000 * 512, 4096)).toBe(true)
    expect(await qemu.holds(0x11, 4096, MIB)).toBe(true)
    await qemu.quit()
    expect(server.lines(/lost its delta/)).toEqual([])
  })
})
