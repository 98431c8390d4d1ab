import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import type { ImageView } from '../../lib/target/control.js'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
const TARGET = 'iqn.2026-01.org.example:disk'
const STUDIO = 'iqn.2026-01.org.example:studio'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const LENGTH = 16 * MIB

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
/** What each generation must hold. */
let contents: Buffer[]
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  contents = [new Random(20261123).bytes(Buffer.alloc(LENGTH))]
  writeFileSync(image, contents[0]!)
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) =>
  (server = await ServerProcess.start([
    '--lun',
    image,
    '--target-name',
    TARGET,
    '--policy',
    `${STUDIO}=author`,
    ...args
  ]))
const open = (initiatorName: string) => QemuIo.open({ port: server!.port, target: TARGET, initiatorName })
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, 'image', ...args], { cwd: work.path })

async function order(...args: string[]): Promise<ImageView> {
  const { code, output } = await cloudx(...args, '--json')
  if (code !== 0) throw new Error(output)
  return JSON.parse(output) as ImageView
}

/** The author fills a MiB and logs out; `contents` has one generation more. */
async function write(fill: number, offset: number, base: number): Promise<void> {
  const disk = await open(STUDIO)
  await disk.write(fill, offset, MIB)
  await disk.command('flush')
  await disk.quit()
  contents.push(Buffer.from(contents[base]!).fill(fill, offset, offset + MIB))
}

/** What a new login reads, by another program than the one that wrote. */
async function expectDisk(expected: Buffer): Promise<void> {
  const [copy, wanted] = ['copy.img', 'wanted.img'].map((name) => join(work.path, name))
  await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), copy!])
  writeFileSync(wanted!, expected)
  expect(await sha256(copy!)).toBe(await sha256(wanted!))
}

describeWith(['qemu-img', 'qemu-io'], 'generations of an image', () => {
  it('are published beside running clients: those stay on theirs, new ones get the newest, and back', async () => {
    await start()
    const before = await sha256(image)
    const first = await open(PC)
    await write(0x11, 0, 0)
    expect((await order('publish', '--note', 'first')).current).toBe(1)
    const second = await open(`${PC}-2`)
    await second.write(0x77, 8 * MIB, MIB)
    await write(0x22, MIB / 2, 1)
    expect((await order('publish', 'share.img')).current).toBe(2)
    await expectDisk(contents[2]!)
    // The sessions of before see what they saw.
    expect(await first.command('read 0 16M')).toMatch(/read 16777216/)
    expect(await second.holds(0x11, 0, MIB)).toBe(true)
    expect(await second.holds(0x77, 8 * MIB, MIB)).toBe(true)
    expect((await cloudx('history')).output).toMatch(/^2 +1 .*current.*\n1 +0 .* 1 +0 .*first\n0 .* 1 +0 .*raw file/m)
    await order('rollback')
    await expectDisk(contents[1]!)
    await order('rollback', '--to', '0')
    await expectDisk(contents[0]!)
    await order('publish', '--generation', '2')
    await expectDisk(contents[2]!)
    await first.quit()
    await second.quit()
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(before)
    await start()
    await expectDisk(contents[2]!)
  })

  it('are refused from an author who is logged in, except by force, which shows it what it left', async () => {
    await start()
    const disk = await open(STUDIO)
    await disk.write(0x11, 0, MIB)
    const refused = await cloudx('publish')
    expect([refused.code, refused.output]).toEqual([1, expect.stringMatching(/:studio is logged in.*--force/)])
    expect((await order('publish', '--force')).current).toBe(1)
    await disk.quit().catch(() => undefined)
    contents.push(Buffer.from(contents[0]!).fill(0x11, 0, MIB))
    await expectDisk(contents[1]!)
    const again = await open(STUDIO)
    expect(await again.holds(0x11, 0, MIB)).toBe(true)
    await again.quit()
  })

  it('survive kill -9 of the server right behind the publish, with everything that was published', async () => {
    await start()
    for (const [round, fill] of [0x11, 0x22].entries()) {
      await write(fill, round * 3 * MIB, round)
      await order('publish')
      await server!.kill()
      await start()
      await expectDisk(contents[round + 1]!)
    }
    expect(server!.lines(/lost its delta/)).toEqual([])
  })

  it('leave a delta with its author when the server dies in the middle of a publish', async () => {
    await start()
    await write(0x11, 0, 0)
    await server!.kill()
    // What is on the disk when the map has moved, and when both files have, and the record does not name them yet.
    const state = `${image}.cloudx`
    const uuid = (
      JSON.parse(readFileSync(join(state, 'images', readdirSync(join(state, 'images'))[0]!), 'utf8')) as {
        uuid: string
      }
    ).uuid
    for (const kinds of [['map'], ['map', 'slots']]) {
      const [folder] = readdirSync(join(state, 'deltas'))
      const deltas = join(state, 'deltas', folder!)
      const layers = join(state, 'generations', uuid)
      if (!existsSync(layers)) await succeed('mkdir', ['-p', layers])
      for (const kind of kinds) renameSync(join(deltas, `lun-0-1.${kind}`), join(layers, `0001.${kind}`))
      await start()
      expect(await server!.logged(/a publish was cut short/)).toMatch(/:studio/)
      await expectDisk(contents[0]!)
      const author = await open(STUDIO)
      expect(await author.holds(0x11, 0, MIB)).toBe(true)
      await author.quit()
      await server!.kill()
    }
    await start()
    await order('publish')
    await expectDisk(contents[1]!)
  })

  it('are worth nothing over a raw file that another program has changed, and nobody is let in then', async () => {
    await start()
    await write(0x11, 0, 0)
    await order('publish')
    expect(await server!.stop()).toBe(0)
    const original = readFileSync(image)
    chmodSync(image, 0o600)
    writeFileSync(image, Buffer.alloc(LENGTH, 1))
    await start()
    expect(await server!.logged(/was changed by another program/)).toMatch(/share\.img/)
    expect((await run('qemu-img', ['info', '-f', 'raw', server!.url(TARGET)])).code).not.toBe(0)
    expect(original.equals(contents[0]!)).toBe(true)
  })
})
