import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AdminClient } from '../../lib/admin/client.js'
import { FaultyProxy } from '../support/faulty-proxy.js'
import { describeWith, QemuIo, run } from '../support/programs.js'
import { steps } from '../support/random.js'
import { ServerProcess, sha256, until, workDirectory, type StartOptions } from '../support/server-process.js'

jest.setTimeout(600_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const LENGTH = 128 * 1024 * 1024
/** A guest boots in seconds; on a loaded machine it takes its time. */
const GUEST_LIMIT_MS = 180_000
/** What fio writes, and how often the way to the server breaks in each manner: little in a test run, much in a campaign. */
const WRITTEN_MB = Math.min(96, steps(8))
const COPIED_MB = Math.min(192, steps(24))
const FAULT_ROUNDS = Math.min(10, steps(1))
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

  const start = (options: StartOptions = {}, args: readonly string[] = []) =>
    ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args], options)
  const guest = (script: string, args: readonly string[] = [], options: readonly string[] = []) =>
    run('bash', [GUEST, '-t', '300', ...options, join(SCRIPTS, script), `PORT=${server.port}`, `SUM=${sum}`, ...args], {
      limitMs: 590_000
    })
  /** Scripts that need the same server, in one boot. */
  const several = (scripts: readonly string[], args: readonly string[] = []) =>
    guest(
      'several.sh',
      [`SCRIPTS=${scripts.join(' ')}`, ...args],
      scripts.flatMap((script) => ['-f', join(SCRIPTS, script.replace(/:.*/, ''))])
    )
  /** Two guests at a time, which tell each other by files in a shared directory where they are. */
  const guests = async (script: string, names: readonly string[], argsOf: (name: string) => readonly string[]) => {
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const all = names.map((name) => guest(script, [`IQN=iqn.2026-01.guest:${name}`, ...argsOf(name)], ['-s', shared]))
    return Promise.all(all)
  }

  it('makes ext4, NTFS, FAT32 and exFAT, verifies with fio under both digests, and finds the original each time', async () => {
    const { code, output } = await several([
      'restore.sh',
      'foreign.sh',
      `verify.sh:HEADER_DIGEST=CRC32C,DATA_DIGEST=CRC32C,MB=${WRITTEN_MB}`
    ])
    for (const check of ['fsck', 'ntfs: fsck', 'vfat: fsck', 'exfat: fsck', 'write and verify']) {
      expect(output).toContain(`PASS: ${check}\n`)
    }
    expect(output.match(/^PASS: the original is back$/gm)).toHaveLength(3)
    expect(output.match(/^ALL-PASS$/gm)).toHaveLength(4)
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('writes nothing to a disk that was swapped behind its back', async () => {
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const running = guest('fence.sh', [], ['-s', shared])
    await until('the guest has written', () => existsSync(join(shared, 'ready')), GUEST_LIMIT_MS)
    await server.kill()
    const deltas = `${image}.cloudx/deltas`
    expect(filesIn(deltas).length).toBeGreaterThan(0)
    for (const path of filesIn(deltas)) rmSync(path)
    server = await start({ port: server.port })
    expect(await server.logged(/lost its delta/)).toMatch(/it was removed/)
    writeFileSync(join(shared, 'swapped'), '')
    await until('the guest has tried to go on', () => existsSync(join(shared, 'tried')), GUEST_LIMIT_MS)
    // A delta has files from its first write on: there was none.
    const written = filesIn(deltas)
    writeFileSync(join(shared, 'inspected'), '')
    expect(written).toEqual([])
    const { code, output } = await running
    expect(output).toContain('PASS: the client sees I/O errors')
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('hears that its disk has grown under a mounted file system, and uses all of it', async () => {
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const sectors = [`BEFORE=${LENGTH / 512}`, `AFTER=${(2 * LENGTH) / 512}`]
    const running = guest('grow.sh', sectors, ['-s', shared])
    await until('the guest has written', () => existsSync(join(shared, 'ready')), GUEST_LIMIT_MS)
    await new AdminClient(`${image}.cloudx`).grow({ sizeBytes: 2 * LENGTH })
    writeFileSync(join(shared, 'grown'), '')
    const { code, output } = await running
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('logs out and in again when it is pushed, and reads nothing of the other disk before it has looked', async () => {
    await server.stop()
    const studio = 'iqn.2026-01.org.example:studio'
    server = await start({}, ['--policy', `${studio}=author`])
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const after = createHash('sha256')
      .update(Buffer.alloc(64 * 1024, 0x22))
      .digest('hex')
    const running = guest('push.sh', [`AFTER=${after}`], ['-s', shared])
    await until('the guest has read', () => existsSync(join(shared, 'ready')), GUEST_LIMIT_MS)
    const author = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: studio })
    await author.write(0x22, 0, 64 * 1024)
    await author.quit()
    const admin = new AdminClient(`${image}.cloudx`)
    await admin.publish({})
    await admin.push({})
    const push = async () => (await admin.images()).images[0]!.push
    await until('the push is done', async () => (await push())?.state === 'done', GUEST_LIMIT_MS)
    expect(await push()).toMatchObject({ done: 1, stayed: [] })
    expect(await server.logged(/iqn.2026-01.guest:.* left/)).toMatch(/logout that we asked for/)
    writeFileSync(join(shared, 'pushed'), '')
    const { code, output } = await running
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
  })

  it('mounts the drive that a new image is, and finds it as it was after its logout', async () => {
    await server.stop()
    const fresh = join(work.path, 'fresh.img')
    server = await ServerProcess.start(['--lun', fresh, '--size', '256M', '--target-name', TARGET])
    const made = await sha256(fresh)
    const { code, output } = await guest('drive.sh')
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
    expect(await sha256(fresh)).toBe(made)
  })

  it('comes in with its secret alone, proves itself, wants to be proved to, and checks digests', async () => {
    await server.stop()
    const secrets = { CLOUDX_CHAP_SECRET: 'open sesame 1', CLOUDX_CHAP_MUTUAL_SECRET: 'who goes there' }
    server = await start({ environment: secrets }, ['--chap-user', 'pc', '--chap-mutual-user', 'disk'])
    const mutual = 'CHAP_USER=pc,CHAP_PASS="$SECRET",CHAP_USER_IN=disk,CHAP_PASS_IN="$OTHER_SECRET"'
    const digests = 'HEADER_DIGEST=CRC32C,DATA_DIGEST=CRC32C'
    const { code, output } = await several(
      ['chap.sh:NAME=pc', `secured.sh:${mutual},${digests}`],
      [`TARGET=${TARGET}`, 'SECRET=open sesame 1', 'OTHER_SECRET=who goes there', 'CHAP_ALGS=SHA3-256,SHA256,SHA1,MD5']
    )
    for (const check of ['with a wrong secret it is refused', 'the target refuses us', 'we refuse the target']) {
      expect(output).toContain(`PASS: ${check}\n`)
    }
    expect(output.match(/^ALL-PASS$/gm)).toHaveLength(3)
    expect(code).toBe(0)
    expect(await server.stop()).toBe(0)
    // Without a secret, with a wrong one, and with a wrong one again.
    expect(server.lines(/refused \(0201h\)/)).toHaveLength(3)
    expect(server.log.join('\n')).not.toMatch(/open sesame|who goes there/)
    expect(await sha256(image)).toBe(original)
  })

  it('sees no I/O error and no wrong byte when its connection is cut, reset and stalled', async () => {
    const plan = Array.from({ length: FAULT_ROUNDS }, () => ['cut', 'reset', 'stall'] as const).flat()
    const proxy = await FaultyProxy.listen(server.port, plan, 2 * 1024 * 1024)
    try {
      const args = [`PORT=${proxy.port}`, `TARGET=${TARGET}`, `FAULTS=${plan.length}`, `MB=${8 * FAULT_ROUNDS}`]
      const { code, output } = await guest('faults.sh', args)
      expect(output).toContain('PASS: no I/O error')
      expect(output).toContain('ALL-PASS')
      expect(code).toBe(0)
      expect(proxy.happened).toEqual(plan)
    } finally {
      await proxy.close()
    }
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('sees its own content while another guest has its own on the same image', async () => {
    const others: Record<string, string> = { one: 'two', two: 'one' }
    const outcomes = await guests('own-view.sh', ['one', 'two'], (me) => [`ME=${me}`, `OTHER=${others[me]}`])
    for (const { code, output } of outcomes) {
      expect(output).toContain('ALL-PASS')
      expect(code).toBe(0)
    }
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it(`gives space back for files that are removed and trimmed, or become zeroes (${COPIED_MB} MiB)`, async () => {
    truncateSync(image, COPIED_MB * 2 ** 20 * 2)
    await server.stop()
    server = await start()
    const shared = join(work.path, 'shared')
    mkdirSync(shared)
    const running = guest('space.sh', [`MB=${COPIED_MB}`], ['-s', shared])
    const found: Record<string, number> = {}
    const look = async (step: string, enough: (mb: number) => boolean) => {
      await until(`the guest has ${step}`, () => existsSync(join(shared, step)), GUEST_LIMIT_MS)
      // Holes are made some seconds behind a flush.
      await until(`the delta has its size: ${step}`, () => enough((found[step] = slotsMb())), GUEST_LIMIT_MS)
      writeFileSync(join(shared, `${step}-seen`), '')
    }
    const slotsMb = () => {
      const [slots] = filesIn(`${image}.cloudx/deltas`).filter((path) => path.endsWith('.slots'))
      return (statSync(slots!).blocks * 512) / 2 ** 20
    }
    const overhead = 8 + COPIED_MB / 16
    const little = (mb: number) => mb < overhead
    const full = (mb: number) => mb >= COPIED_MB && mb < COPIED_MB + overhead
    await look('made', little)
    await look('copied', full)
    await look('removed', () => true)
    await look('trimmed', little)
    await look('again', full)
    await look('zeroed', little)
    const { code, output } = await running
    process.stdout.write(`${JSON.stringify(found)}\n`)
    expect(output).toContain('ALL-PASS')
    expect(code).toBe(0)
  })

  it('holds a shared disk against another guest by a persistent reservation, and loses it to one', async () => {
    await server.stop()
    server = await ServerProcess.start(['--lun', `${image},shared`, '--target-name', TARGET])
    for (const { code, output } of await guests('reserve.sh', ['holder', 'rival'], (role) => [`ROLE=${role}`])) {
      expect(output).toContain('ALL-PASS')
      expect(code).toBe(0)
    }
    expect(await server.stop()).toBe(0)
  })
})

function filesIn(folder: string): string[] {
  const all = readdirSync(folder, { recursive: true, withFileTypes: true })
  return all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
