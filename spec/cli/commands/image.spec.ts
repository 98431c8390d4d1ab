import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { AdminServer } from '../../../lib/admin/server.js'
import { imageBackup } from '../../../lib/cli/commands/image-backup.js'
import { imageExport } from '../../../lib/cli/commands/image-export.js'
import { imageFlatten } from '../../../lib/cli/commands/image-flatten.js'
import { imageGrow } from '../../../lib/cli/commands/image-grow.js'
import { imageHistory } from '../../../lib/cli/commands/image-history.js'
import { imageInfo } from '../../../lib/cli/commands/image-info.js'
import { imageNewId } from '../../../lib/cli/commands/image-new-id.js'
import { imagePublish } from '../../../lib/cli/commands/image-publish.js'
import { imagePush } from '../../../lib/cli/commands/image-push.js'
import { imageRestore } from '../../../lib/cli/commands/image-restore.js'
import { imageRollback } from '../../../lib/cli/commands/image-rollback.js'
import { imageTest } from '../../../lib/cli/commands/image-test.js'
import { imageVerify } from '../../../lib/cli/commands/image-verify.js'
import { image } from '../../../lib/cli/commands/image.js'
import { chosenImage } from '../../../lib/cli/image-place.js'
import { main } from '../../../lib/cli/index.js'
import type { ImageView } from '../../../lib/target/control.js'
import { FAKE_IMAGE } from '../../support/fake-control.js'
import { ALICE, BASE_BYTE, BOB, LOGOUT, TargetBench } from '../../support/target-bench.js'
import { TextOutput } from '../../support/text-output.js'

const STUDIO = 'iqn.2026-01.org.example:studio'

let bench: TargetBench
let server: AdminServer
beforeEach(async () => {
  bench = await TargetBench.make({}, { initiators: [{ match: STUDIO, policy: 'author' }] })
  await bench.start()
  server = new AdminServer({ control: bench.server!.control, version: '1.2.3', log: bench.log })
  await server.listen(bench.state)
})
afterEach(async () => {
  await server.close()
  await bench.remove()
})

async function run(...argv: string[]) {
  const [stdout, stderr] = [new TextOutput(), new TextOutput()]
  const context = { environment: {}, directory: bench.directory, stdout, stderr }
  const exitCode = await main(['image', ...argv], context, [image])
  const clean = (text: string) => text.replaceAll(bench.directory, '').split('\n').slice(0, -1)
  return { exitCode, said: clean(stdout.text), failed: clean(stderr.text) }
}

/** What stands before the place. */
const BEFORE: Readonly<Record<string, string[]>> = { grow: ['1G'], export: ['x.img'] }

const said = async (...argv: string[]) => (await run(...argv)).said
const asJson = async (...argv: string[]) => JSON.parse((await said(...argv, '--json')).join('')) as ImageView
const write = (fill: number) => bench.visit(fill, LOGOUT, { initiatorName: STUDIO })

describe('cloudx image', () => {
  it('publishes what the author wrote, shows it, rolls it back and publishes it again', async () => {
    await write(0x11)
    expect((await said('info'))[3]).toBe(`${STUDIO} wrote 4 KiB over generation 0, not published`)
    expect(await said('publish', 'share.img', '--note', 'new player')).toEqual([
      'New logins get generation 1 (4 KiB). Running sessions stay on theirs.'
    ])
    const [head, newest, oldest] = await said('history')
    expect(head).toMatch(/^NUMBER +OVER +TIME +DISK +LAYER +SESSIONS +KEPT +SHA-256 +STATE +BY$/)
    expect(newest).toMatch(/^1 +0 .* 4 MiB +4 KiB +0 +0 +current +iqn.2026-01.org.example:studio: new player$/)
    expect(oldest).toMatch(/^0 .* 4 MiB +0 +0 +raw file$/)
    expect(await said('rollback')).toEqual(['New logins get generation 0. Running sessions stay on theirs.'])
    expect((await asJson('publish', '--generation', '1')).current).toBe(1)
    expect((await asJson('rollback', '--to', '0')).current).toBe(0)
  })

  it('names who tests a generation, and ends that', async () => {
    await write(0x11)
    expect(await said('publish', '--test', ALICE, '--author', STUDIO)).toEqual([
      `${ALICE} get generation 1 (4 KiB) at the next login; all others get 0.`
    ])
    expect(await said('test', '--initiator', BOB, '--generation', '1')).toEqual([
      `${BOB} gets generation 1.`,
      `${ALICE} gets generation 1.`,
      `${STUDIO} gets generation 1.`
    ])
    expect(await said('test')).toEqual(['All new logins get generation 0.'])
    expect((await asJson('test', '--initiator', BOB, '--generation', '1')).tests).toEqual([
      { match: BOB, generation: 1 }
    ])
  })

  it('asks those who wrote nothing to log in again behind a publish, and says who stays', async () => {
    await bench.login()
    const writer = await bench.login({ initiatorName: BOB })
    await bench.write(writer, 8192, 0x55)
    await write(0x11)
    const { said: lines, failed } = await run('publish', '--author', STUDIO, '--push')
    expect(failed).toEqual(['100 %, 1 of 1'])
    expect(lines.slice(0, 2)).toEqual([
      'New logins get generation 1 (4 KiB).',
      expect.stringMatching(/^Push of .*: 1 client moved to the newest generation, 1 client stayed\.$/)
    ])
    expect(lines.at(-1)).toMatch(/^0 +iqn.1991-05.com.microsoft:bob .* 4 KiB +it would lose what it wrote/)
    expect((await run('push', '--drop-deltas')).failed[0]).toMatch(/is dropped: .*:bob \(4 KiB\).* add --yes/)
    const { push } = JSON.parse((await said('push', '--drop-deltas', '--yes', '--json')).join('')) as ImageView
    expect(push).toMatchObject({ state: 'done', done: 1, stayed: [] })
  })

  it('plans a push, shows it, and takes it back', async () => {
    // The command goes by the clock of this computer.
    bench.clock.jump(Date.now() - bench.clock.now())
    await write(0x11)
    const planned = await said('publish', '--push', '--at', '19:00')
    expect(planned[1]).toMatch(/^At .*19:00 clients on older generations are asked to log in again/)
    expect(await said('info')).toContain(planned[1])
    expect((await asJson('info')).push).toMatchObject({ state: 'planned' })
    expect(await said('push', '--cancel')).toEqual(['Nobody is asked to log in again.'])
    expect((await asJson('info')).push).toBe(undefined)
  })

  it('merges generations into the raw file when that is agreed to, and tells how far it is', async () => {
    await write(0x11)
    await said('publish')
    const refused = await run('flatten')
    expect(refused.failed[0]).toMatch(/Nobody can roll back below .* add --yes/)
    const { said: lines, failed } = await run('flatten', 'share.img', '--yes')
    expect(lines).toEqual(['/share.img: generation 1 is in the raw file now, 4 KiB were copied.'])
    expect(failed).toEqual(['100 %, 4 KiB of 4 KiB'])
    expect((await asJson('info')).raw).toBe(1)
    expect((await run('flatten', '--yes')).failed[0]).toMatch(/nothing lies above the raw file/)
  })

  it('notes the hash of a generation, keeps it up to date, and finds what was changed', async () => {
    const noted = (await said('verify', '--generation', '0'))[0]!
    expect(noted).toMatch(/^\/share\.img: generation 0: SHA-256 [0-9a-f]{64} noted\.$/)
    await write(0x11)
    await said('publish')
    await bench.settled()
    expect((await asJson('info')).generations[1]!.hash).toMatch(/^[0-9a-f]{64}$/)
    expect((await said('verify'))[0]).toMatch(/generation 1 is what it was: SHA-256/)
    const file = openSync(bench.image, 'r+')
    writeSync(file, Buffer.alloc(512, 0x99), 0, 512, 3 << 20)
    closeSync(file)
    const { exitCode, failed } = await run('verify')
    expect([exitCode, failed.at(-1)]).toEqual([1, expect.stringMatching(/is not what it was, from byte 3145728 on/)])
    expect((await run('verify')).failed[0]).toMatch(/nobody new is let in/)
    await expect(bench.login({ initiatorName: BOB })).rejects.toThrow(/nobody new is let in/)
  })

  it('makes the disk larger for those who are there and those who come, and exports any generation', async () => {
    const before = await bench.login()
    expect(await said('grow', '8M')).toEqual([
      'New logins get generation 1, a disk of 8 MiB.',
      'Already logged in and told of the new size: 1. Their systems may have to look for it.'
    ])
    expect(before.units.get(0)!.unit.volume.size).toBe(8 << 20)
    const after = await bench.login({ initiatorName: BOB })
    expect(after.units.get(0)!.unit.volume.size).toBe(8 << 20)
    expect(await said('export', 'new.img')).toEqual(['/new.img: 8 MiB, raw.'])
    const whole = readFileSync(join(bench.directory, 'new.img'))
    expect(whole.equals(Buffer.alloc(8 << 20).fill(BASE_BYTE, 0, 4 << 20))).toBe(true)
    expect(await said('export', 'old.img', '--generation', '0')).toEqual(['/old.img: 4 MiB, raw.'])
    expect((await run('export', 'no.img', '--generation', '9')).failed[0]).toMatch(/no generation 9/)
    expect((await run('grow', '1M')).failed[0]).toMatch(/can grow to more/)
    expect((await run('grow', 'much')).failed[0]).toMatch(/"much" must be a size/)
    await bench.end(before, LOGOUT)
    await bench.end(after, LOGOUT)
    await run('flatten', '--yes')
    expect(statSync(bench.image).size).toBe(8 << 20)
  })

  it('backs up what is current, keeps so many, and gives it back without a server', async () => {
    expect((await said('backup', 'usb'))[0]).toMatch(
      /^\/usb: backup 1: generation 0, 4 MiB \(the whole disk\), SHA-256 /
    )
    expect(await said('backup', 'usb', '--keep', '1')).toEqual([
      '/usb: backup 1 has generation 0 already; nothing was written.'
    ])
    await write(0x11)
    await said('publish', '--note', 'new player')
    const [made, removed] = await said('backup', 'usb', '--keep', '1')
    expect(made).toMatch(/^\/usb: backup 2: generation 1, 1 MiB \(changes\), SHA-256 /)
    expect(removed).toBe('Removed: 1. Left, and whole: 1.')
    await server.close()
    expect((await said('restore', 'usb')).at(-1)).toMatch(/^2 .* 1 +4 MiB +whole +[0-9a-f]{12} +new player$/)
    expect((await said('restore', 'usb', 'new.img'))[0]).toMatch(/^\/new\.img: backup 2, generation 1, 4 MiB, SHA-256/)
    const content = readFileSync(join(bench.directory, 'new.img'))
    expect(content.equals(Buffer.alloc(4 << 20, BASE_BYTE).fill(0x11, 0, 4096))).toBe(true)
    expect((await run('restore', 'usb', 'share.img')).failed[0]).toMatch(/is replaced by backup 2, .* add --yes/)
    expect((await run('restore', 'usb', 'share.img', '--yes')).failed[0]).toMatch(/a server shares .*: stop it first/)
    expect((await run('restore', 'usb', 'new.img', '--backup', '7')).failed[0]).toMatch(/no backup 7/)
    expect((await run('restore', 'usb', 'new.img', '--backup', 'x')).failed[0]).toMatch(
      /must be the number of a backup/
    )
    expect((await run('restore', 'nothing', 'x.img')).failed[0]).toMatch(/there is no backup in \/nothing/)
    expect((await run('backup', 'usb', '--keep', '0')).failed[0]).toMatch(/--keep: "0" must be a number from 1 on/)
  })

  it('gives a copy an identity of its own', async () => {
    await server.close()
    expect((await run('new-id', 'share.img')).failed[0]).toMatch(/has been shared from here/)
    const copy = Buffer.alloc(4096)
    copy.writeUInt32LE(0x1234abcd, 440)
    copy[450] = 7
    copy.writeUInt16LE(0xaa55, 510)
    writeFileSync(join(bench.directory, 'copy.img'), copy)
    expect((await run('new-id', 'copy.img')).failed[0]).toMatch(/--state-dir.*what clients wrote over it.*lost.*--yes/)
    expect((await said('new-id', 'copy.img', '--yes'))[0]).toMatch(
      /^\/copy\.img: disk signature [0-9A-F]{8} instead of 1234ABCD\. What is in/
    )
    for (const { usage } of [imageRestore, imageNewId, imageBackup]) {
      const action = String(usage).split(' ')[0]!
      expect((await said(action, '--help')).join('\n')).toContain(`cloudx image ${action}`)
    }
    expect((await run('backup', 'usb', 'share.img')).failed[0]).toMatch(/No server shares share\.img/)
  })

  it('shows who is on which generation', async () => {
    await bench.login()
    const { generations } = await asJson('info')
    expect(generations[0]!.users).toMatchObject([{ initiatorName: ALICE, kind: 'session' }])
    expect((await said('info')).at(-1)).toMatch(/^0 +iqn.1991-05.com.microsoft:alice .* logged in +0 bytes$/)
  })

  it.each<[string[], RegExp]>([
    [['publish'], /no author has written anything over .*--policy IQN=author/],
    [['publish', 'share.img', '--generation', 'x'], /--generation: "x" must be the number of a generation/],
    [['publish', '--generation', '5'], /there is no generation 5/],
    [['publish', '--at', '19:00'], /add --push/],
    [['publish', '--push', '--at', '25:00'], /"25:00" must be a time of day/],
    [['push', '--cancel'], /no push is planned/],
    [['push', '--cancel', '--at', '19:00'], /goes with no other option/],
    [['rollback'], /lies over no other one/],
    [['test', '--generation', '0'], /say which initiators/],
    [['history', '--image', 'other.img'], /Say which image is meant with --image: .*share\.img/],
    [['mend'], /There is no command "mend"/]
  ])('ends %j with a sentence', async (argv, sentence) => {
    const { exitCode, failed } = await run(...argv)
    expect([exitCode, failed.length]).toEqual([1, 1])
    expect(failed[0]).toMatch(sentence)
  })

  it.each([
    imageInfo,
    imageHistory,
    imagePublish,
    imagePush,
    imageRollback,
    imageTest,
    imageFlatten,
    imageVerify,
    imageGrow,
    imageExport
  ])('explains $usage with examples, and says when no server runs', async ({ usage }) => {
    const action = String(usage).split(' ')[0]!
    expect((await said(action, '--help')).join('\n')).toContain(`cloudx image ${action}`)
    await server.close()
    const { exitCode, failed } = await run(
      action,
      ...(BEFORE[action] ?? []),
      'share.img',
      ...(action === 'flatten' ? ['--yes'] : [])
    )
    expect(exitCode).toBe(1)
    expect(failed[0]).toMatch(/No server shares share\.img/)
  })
})

describe('the image that is meant', () => {
  it('is the only one, or the one that is named', () => {
    const other = { ...FAKE_IMAGE, path: '/disks/other.img', uuid: '11111111-0000-4000-8000-000000000000' }
    expect(chosenImage([FAKE_IMAGE], undefined)).toBe(FAKE_IMAGE)
    expect(chosenImage([FAKE_IMAGE, other], other.uuid)).toBe(other)
    expect(chosenImage([FAKE_IMAGE, other], FAKE_IMAGE.path)).toBe(FAKE_IMAGE)
    expect(() => chosenImage([FAKE_IMAGE, other], undefined)).toThrow(/--image/)
  })
})
