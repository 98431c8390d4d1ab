import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { AdminClient } from '../../lib/admin/client.js'
import type { ImageView } from '../../lib/target/control.js'
import { describeWith, QemuIo, run } from '../support/programs.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
const TARGET = 'iqn.2026-01.org.example:disk'
const STUDIO = 'iqn.2026-01.org.example:studio'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const ASYNC_MESSAGE = 0x32

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(16 * MIB, 0x11))
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async () =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, '--policy', `${STUDIO}=author`]))
const open = (initiatorName: string) => QemuIo.open({ port: server!.port, target: TARGET, initiatorName })
const script = (initiatorName: string) => ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName })
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], { cwd: work.path })
const admin = () => new AdminClient(`${image}.cloudx`)
const infoOf = async () => (await admin().images()).images[0]!

async function order(...args: string[]): Promise<ImageView> {
  const { code, output } = await cloudx('image', ...args, '--json')
  if (code !== 0) throw new Error(output)
  return JSON.parse(output.slice(output.indexOf('{'))) as ImageView
}

async function write(fill: number): Promise<void> {
  const disk = await open(STUDIO)
  await disk.write(fill, 0, MIB)
  await disk.command('flush')
  await disk.quit()
}

/** READ(10) of one block, until the unit attentions have been told. */
async function readBlock(initiator: ScriptedInitiator) {
  const read = () => initiator.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { read: 512 })
  let answer = await read()
  for (let attempt = 1; attempt < 4 && answer.status !== 0; attempt++) answer = await read()
  return answer
}

const serialOf = async (initiator: ScriptedInitiator) =>
  (await initiator.command([0x12, 1, 0x80, 0, 255, 0], { read: 255 })).data.subarray(4).toString('latin1')

describeWith(['qemu-io'], 'a push', () => {
  it('asks by an Async Message who wrote nothing; they log out and in again and find another disk', async () => {
    await start()
    const reader = await script(PC)
    await reader.command([0, 0, 0, 0, 0, 0])
    const serial = await serialOf(reader)
    const qemu = await open(`${PC}-qemu`)
    expect(await qemu.holds(0x11, 0, MIB)).toBe(true)
    const writer = await open(`${PC}-writer`)
    await writer.write(0x77, 8 * MIB, MIB)
    await write(0x22)
    const published = order('publish', '--push')
    // AsyncEvent 1, the target asks for a logout, with the seconds in Parameter3 (RFC 7143 §11.9.1).
    const asked = await reader.receiveOpcode(ASYNC_MESSAGE)
    expect([asked.bhs[36], asked.bhs.readUInt16BE(42)]).toEqual([1, 10])
    await reader.leave()
    const { push } = await published
    expect(push).toMatchObject({ state: 'done', done: 2, total: 2 })
    expect(push!.stayed).toMatchObject([{ initiatorName: `${PC}-writer`, generation: 0, bytes: MIB, reason: 'wrote' }])
    // It was never asked: its session is the one that it had, with what it wrote.
    expect(server!.lines(/:pc-writer left/)).toEqual([])
    expect(await writer.holds(0x77, 8 * MIB, MIB)).toBe(true)
    expect(await writer.holds(0x11, 0, MIB)).toBe(true)
    // QEMU came back by itself. It holds what it knows of the old disk, and is given no byte of the new one in its place.
    await until('QEMU is back', async () =>
      (await admin().sessions()).sessions.some(({ initiatorName }) => initiatorName === `${PC}-qemu`)
    )
    expect(await qemu.command('read -P 0x11 0 1M')).toMatch(/failed|error/i)
    const fresh = await script(PC)
    expect((await readBlock(fresh)).senseText).toBe('05/25/00')
    expect(await serialOf(fresh)).not.toBe(serial)
    await fresh.command([0x12, 0, 0, 0, 36, 0], { read: 36 })
    expect((await readBlock(fresh)).data.equals(Buffer.alloc(512, 0x22))).toBe(true)
    await fresh.leave()
    await writer.quit()
    await qemu.kill()
  })

  it('drops what was written by explicit choice alone, and puts it into the bin', async () => {
    await start()
    const writer = await open(PC)
    await writer.write(0x77, 8 * MIB, MIB)
    await write(0x22)
    const refused = await cloudx('image', 'publish', '--push', '--drop-deltas')
    expect([refused.code, refused.output]).toEqual([1, expect.stringMatching(/:pc \(1 MiB\)\. .*add --yes/)])
    expect((await infoOf()).current).toBe(0)
    const { push } = await order('publish', '--author', STUDIO, '--push', '--drop-deltas', '--yes')
    expect(push).toMatchObject({ state: 'done', done: 1, stayed: [] })
    await writer.kill()
    const again = await open(PC)
    expect(await again.holds(0x22, 0, MIB)).toBe(true)
    expect(await again.holds(0x11, 8 * MIB, MIB)).toBe(true)
    await again.quit()
    expect((await cloudx('delta', 'list')).output).toMatch(/:pc .*1 MiB/)
  })

  it('that is planned outlives kill -9 of the server, is shown, and can be taken back', async () => {
    await start()
    await write(0x22)
    const { push } = await order('publish', '--push', '--at', laterClock())
    expect(push).toMatchObject({ state: 'planned', at: push!.at })
    await server!.kill()
    await start()
    expect((await infoOf()).push).toMatchObject({ state: 'planned', at: push!.at })
    for (const argv of [['status'], ['image', 'info']]) {
      expect((await cloudx(...argv)).output).toMatch(/At .* clients on older generations are asked to log in again/)
    }
    expect((await cloudx('image', 'push', '--cancel')).output).toMatch(/Nobody is asked/)
    await server!.kill()
    await start()
    expect((await infoOf()).push).toBe(undefined)
  })

  it('that is planned is done at its time, by the server alone', async () => {
    await start()
    const qemu = await open(PC)
    await write(0x22)
    await order('publish')
    await admin().push({ at: Date.now() + 1500 })
    await until('the push is done', async () => (await infoOf()).push?.state === 'done')
    expect((await infoOf()).push).toMatchObject({ done: 1, total: 1 })
    expect(await server!.logged(/gets the newest generation/)).toMatch(/:pc gets/)
    await qemu.kill()
  })
})

/** Some minutes from now, as it is typed. */
function laterClock(): string {
  const time = new Date(Date.now() + 30 * 60_000)
  return `${time.getHours()}:${String(time.getMinutes()).padStart(2, '0')}`
}
