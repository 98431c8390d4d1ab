import { chmodSync, existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import type { ImageView } from '../../lib/target/control.js'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random, seedOf, steps } from '../support/random.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)
/** Of the campaign in full length. */
const CAMPAIGN_LIMIT_MS = 3_600_000

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

  it('are merged, verified and exported, and each of these reads as what qemu-img read through the target', async () => {
    await start('--undo', '0')
    await write(0x11, MIB, 0)
    await order('publish')
    await expectDisk(contents[1]!)
    const sum = await sha256(join(work.path, 'copy.img'))
    expect((await cloudx('verify')).output).toMatch(/generation 1: SHA-256 [0-9a-f]{64} noted/)
    for (const name of ['one.img', 'one.qcow2']) {
      expect((await cloudx('export', name)).code).toBe(0)
      await succeed('qemu-img', ['convert', '-O', 'raw', name, 'exported.img'], { cwd: work.path })
      expect(await sha256(join(work.path, 'exported.img'))).toBe(sum)
    }
    expect((await cloudx('flatten', '--yes')).code).toBe(0)
    expect(await sha256(image)).toBe(sum)
    expect((await cloudx('verify')).output).toMatch(/generation 1 is what it was/)
    await expectDisk(contents[1]!)
  })

  it('made of an encrypted delta keep its key, over a restart and until they are merged', async () => {
    await start('--shred')
    const writer = await open(PC)
    await writer.write(0x66, 2 * MIB, MIB)
    await writer.command('flush')
    await succeed(process.execPath, [PROGRAM, 'initiator', 'policy', PC, 'author'], { cwd: work.path })
    await writer.quit()
    const { generations, uuid } = await order('publish', '--author', PC)
    expect(generations.at(-1)).toMatchObject({ number: 1, layerBytes: MIB })
    const layers = join(`${image}.cloudx`, 'generations', uuid)
    expect(readdirSync(layers).sort()).toEqual(['0001.key', '0001.map', '0001.slots'])
    expect(readFileSync(join(layers, '0001.slots')).includes(Buffer.alloc(512, 0x66))).toBe(false)
    contents.push(Buffer.from(contents[0]!).fill(0x66, 2 * MIB, 3 * MIB))
    await server!.kill()
    await start('--shred')
    await expectDisk(contents[1]!)
    expect((await cloudx('verify')).output).toMatch(/SHA-256 [0-9a-f]{64} noted/)
    expect((await cloudx('flatten', '--yes')).code).toBe(0)
    expect(readFileSync(image).equals(contents[1]!)).toBe(true)
    expect(readdirSync(layers).filter((name) => /^0001\.(key|map|slots)$/.test(name))).toEqual([])
  })

  const seed = seedOf(0x9e4)
  it(
    `are the old or the new one whenever the server is killed in a publish or a merge (seed ${seed})`,
    async () => {
      const random = new Random(seed)
      await start('--undo', '0')
      for (let round = 0; round < Math.min(60, steps(2)); round++) {
        const previous = contents.at(-1)!
        await write(1 + random.int(255), MIB * random.int(12), contents.length - 1)
        const isMerge = random.chance(0.5)
        if (isMerge) await order('publish')
        const ordered = isMerge ? cloudx('flatten', '--yes') : cloudx('publish')
        await new Promise((resolve) => setTimeout(resolve, random.int(900)))
        await server!.kill()
        await ordered
        await start('--undo', '0')
        expect((await order('info')).trouble).toBe(undefined)
        const now = join(work.path, `now-${round}.img`)
        await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), now])
        const isNew = readFileSync(now).equals(contents.at(-1)!)
        const isOld = readFileSync(now).equals(previous)
        expect(isNew || (!isMerge && isOld)).toBe(true)
        // What was not published is the author's still.
        if (!isNew) await order('publish')
      }
    },
    CAMPAIGN_LIMIT_MS
  )

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
