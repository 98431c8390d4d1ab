import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { AdminServer } from '../../lib/admin/server.js'
import { delta } from '../../lib/cli/commands/delta.js'
import { deltaDrop } from '../../lib/cli/commands/delta-drop.js'
import { deltaExport } from '../../lib/cli/commands/delta-export.js'
import { lunOf } from '../../lib/cli/commands/delta-options.js'
import { deltaRescue } from '../../lib/cli/commands/delta-rescue.js'
import { deltaShow } from '../../lib/cli/commands/delta-show.js'
import { initiatorPolicy } from '../../lib/cli/commands/initiator-policy.js'
import { initiator } from '../../lib/cli/commands/initiator.js'
import { deltaList } from '../../lib/cli/commands/delta-list.js'
import { deltaUndo } from '../../lib/cli/commands/delta-undo.js'
import { commands } from '../../lib/cli/commands/index.js'
import { VERBS } from '../../lib/cli/commands/serve.js'
import { sessions } from '../../lib/cli/commands/sessions.js'
import { status } from '../../lib/cli/commands/status.js'
import { findServer } from '../../lib/cli/find-server.js'
import { main } from '../../lib/cli/index.js'
import { whoami } from '../../lib/cli/whoami.js'
import { version } from '../../lib/cli/version.js'
import type { UndoOrder } from '../../lib/target/control.js'
import { silentLog } from '../../lib/util/log.js'
import { FAKE_PC, fakeControl } from '../support/fake-control.js'
import { TextOutput } from '../support/text-output.js'

let folder: string
let orders: UndoOrder[]
let servers: AdminServer[]
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cloudx-find-')))
  orders = []
  servers = []
})
afterEach(async () => {
  for (const server of servers) await server.close()
  await rm(folder, { recursive: true, force: true })
})

/** A control channel in a folder of this name, as a server of that image has it. */
async function serverAt(name: string, startedAt = 1_700_000_000_000): Promise<void> {
  const path = join(folder, name)
  await mkdir(path, { recursive: true })
  await writeFile(join(path, 'state.json'), '{}')
  const plain = fakeControl(path, orders)
  const control = { ...plain, server: async () => ({ ...(await plain.server()), startedAt }) }
  const server = new AdminServer({ control, version: '1.2.3', log: silentLog })
  await server.listen(path)
  servers.push(server)
}

async function run(...argv: string[]) {
  const [stdout, stderr] = [new TextOutput(), new TextOutput()]
  const context = { environment: {}, directory: folder, stdout, stderr }
  const exitCode = await main(argv, context, [status, sessions, delta, initiator])
  return { exitCode, stdout: stdout.text, stderr: stderr.text }
}

describe('a command to a running server', () => {
  it.each([
    [[]],
    [['./share.img']],
    [['share.img.cloudx']],
    [['.']],
    [['cloudx.yaml']],
    [['--lun', 'share.img']],
    [['--state-dir', 'share.img.cloudx']],
    [['--config', 'cloudx.yaml']]
  ])('finds it by %j', async (place: string[]) => {
    await serverAt('share.img.cloudx')
    await writeFile(join(folder, 'cloudx.yaml'), 'lun: share.img\n')
    const { exitCode, stdout, stderr } = await run('status', ...place)
    expect(stderr).toBe('')
    expect(exitCode).toBe(0)
    expect(stdout).toContain('Cloud-x 1.2.3')
  })

  it('finds the server of an image that keeps its state elsewhere', async () => {
    await serverAt('elsewhere.cloudx')
    expect((await run('status', '/disks/share.img')).stdout).toContain('Cloud-x 1.2.3')
    expect((await run('status', '/disks/other.img')).stderr).toContain('No server shares /disks/other.img')
  })

  it('counts a server with several state directories once', async () => {
    await serverAt('a.img.cloudx')
    await serverAt('b.img.cloudx')
    expect((await run('status')).exitCode).toBe(0)
  })

  it('asks which one is meant when several run', async () => {
    await serverAt('a.img.cloudx')
    await serverAt('b.img.cloudx', 1_700_000_000_001)
    const { exitCode, stderr } = await run('status')
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/2 servers run .*say which: --state-dir \S*a\.img\.cloudx .*--state-dir \S*b\.img\.cloudx/)
    expect((await run('status', 'b.img')).exitCode).toBe(0)
  })

  it.each([
    [[], /No server runs in .*: no image here has ever been shared.*cloudx status \.\/share\.img/],
    [['share.img'], /No server shares share\.img .*Start one with: cloudx share\.img/],
    [['--state-dir', 'state'], /No server runs with the state directory state/],
    [['--config', 'none.yaml'], /none\.yaml does not exist/]
  ])('says what to do when none runs: %j', async (place: string[], message) => {
    const { exitCode, stderr } = await run('status', ...place)
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(message)
  })

  it('names the folders that it has asked in vain', async () => {
    await mkdir(join(folder, 'old.img.cloudx'))
    expect((await run('status')).stderr).toContain('none of old.img.cloudx has one')
  })

  it('gives the client and what the server said to whoever wants it', async () => {
    await serverAt('share.img.cloudx')
    const context = { environment: {}, directory: folder, stdout: new TextOutput(), stderr: new TextOutput() }
    const found = await findServer({}, context)
    expect([found.client.stateDirectory, found.status.version]).toEqual([join(folder, 'share.img.cloudx'), '1.2.3'])
  })
})

describe('what the commands say', () => {
  beforeEach(() => serverAt('share.img.cloudx'))

  it('status: what is shared, where, to how many', async () => {
    const { stdout } = await run('status')
    expect(stdout).toContain('on [::1]:3260')
    expect(stdout).toContain('1 session, 1 delta, 1 dropped delta in the bin (4 MiB)')
    expect(stdout).toContain('Deltas take 9 MiB, the file system does not say how much is free')
    expect(stdout).toContain('\nFinding what deltas hold takes 7 MiB of memory.\n')
    expect(stdout).toMatch(/cloudx:share +0 +20 GiB +\/disks\/share\.img +read-only/)
  })

  it('sessions: who, from where, how much', async () => {
    expect((await run('sessions')).stdout).toMatch(/microsoft:pc .*192\.0\.2\.7 +1\.5 min +1\.5 KiB +3 MiB/)
  })

  it('delta list: live ones, and the bin', async () => {
    const { stdout } = await run('delta', 'list')
    expect(stdout).toMatch(/microsoft:pc .* 0 +5 MiB +waits for its client, 2 h more \(lost: silence\)/)
    expect(stdout).toMatch(/microsoft:pc .* 0 +4 MiB .* logout +30 min +yes/)
    expect(stdout).not.toMatch(/ 1 {2}/)
  })

  it('delta undo: what comes back, and what it cost', async () => {
    expect((await run('delta', 'undo', FAKE_PC)).stdout).toContain('finds 4 MiB again at its next login')
    const { stdout } = await run('delta', 'undo', FAKE_PC, 'share.img', '--discard', '--target', 'iqn.x')
    expect(stdout).toContain('1 MiB that it had written since lie in the bin now.')
    expect(stdout).toContain('new disk identity')
    expect(orders).toEqual([
      { initiator: FAKE_PC, target: undefined, discard: false, by: whoami({}) },
      { initiator: FAKE_PC, target: 'iqn.x', discard: true, by: whoami({}) }
    ])
  })

  it('delta undo: why not', async () => {
    const { exitCode, stderr } = await run('delta', 'undo', 'iqn.2026-01.org.example:b')
    expect([exitCode, stderr]).toEqual([1, 'cloudx: iqn.2026-01.org.example:b is logged in\n'])
  })

  it.each([
    [['status'], 'pid'],
    [['sessions'], 'sessions'],
    [['delta', 'list'], 'initiators'],
    [['delta', 'undo', FAKE_PC], 'bytes']
  ])('%j answers one JSON value with --json', async (argv: string[], field) => {
    const { stdout } = await run(...argv, '--json')
    expect(JSON.parse(stdout)).toHaveProperty(field)
  })
})

describe('more about deltas', () => {
  beforeEach(() => serverAt('share.img.cloudx'))

  it('delta show: how much, how fast, and where', async () => {
    const { stdout } = await run('delta', 'show', FAKE_PC)
    expect(stdout).toContain('LUN 0: 5 MiB stored of a disk of 20 GiB, 1 MiB changed, +3 MiB a minute')
    expect(stdout).toContain('\nFinding it takes 6 MiB of memory, because it is scattered over the disk.\n')
    expect(stdout).toMatch(/^1 MiB +2 MiB +1 MiB$/m)
    expect(JSON.parse((await run('delta', 'show', FAKE_PC, '--json')).stdout)).toMatchObject({ units: [{ lun: 0 }] })
  })

  it('delta drop: now, or when it logs in', async () => {
    expect((await run('delta', 'drop', FAKE_PC)).stdout).toContain('5 MiB of')
    expect((await run('delta', 'drop', FAKE_PC, '--at-next-login')).stdout).toContain('begins anew')
    expect((await run('delta', 'drop', FAKE_PC, '--unit', 'x')).stderr).toContain('--unit: "x" must be the number')
  })

  it('delta export: a file that is there when it is whole, and no file else', async () => {
    const file = join(folder, 'pc.img')
    const refused = await run('delta', 'export', FAKE_PC, file)
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('it is logged in')])
    expect(existsSync(file)).toBe(false)
    expect((await run('delta', 'export', FAKE_PC, file, '--live')).stdout).toContain('4 MiB, raw')
    expect(
      readFileSync(file)
        .subarray(1 << 20, (1 << 20) + 4096)
        .equals(Buffer.alloc(4096, 0x77))
    ).toBe(true)
  })

  it('delta rescue: a file under its own name into a folder', async () => {
    expect((await run('delta', 'rescue', FAKE_PC, 'C:\\Kim\\a.txt', folder)).stdout).toContain(join(folder, 'a.txt'))
    expect(readFileSync(join(folder, 'a.txt'), 'utf8')).toBe('C:\\Kim\\a.txt')
    expect((await run('delta', 'rescue', FAKE_PC, '/a', 'b', '--partition', '0')).stderr).toContain('--partition')
  })

  it('initiator policy: what holds for whom, in the order in which it counts', async () => {
    const { stdout } = await run('initiator', 'policy')
    expect(stdout).toMatch(
      /microsoft:pc +keep +all +by command\niqn\.\* +boot +1 +configuration\nall others +restore +logout +0/
    )
    expect((await run('initiator', 'policy', FAKE_PC, 'burn')).exitCode).toBe(1)
    expect(lunOf({ unit: '7' })).toBe(7)
  })
})

describe('the help', () => {
  it.each([[['status']], [['sessions']], [['delta']], [['delta', 'list']], [['delta', 'undo']]])(
    'of %j has an example',
    async (argv: string[]) => {
      const { exitCode, stdout } = await run(...argv, '--help')
      expect(exitCode).toBe(0)
      expect(stdout).toMatch(new RegExp(`Examples:\n +cloudx ${argv.join(' ')}`))
    }
  )

  it('is named when an action is missing or does not exist', async () => {
    expect((await run('delta')).stderr).toBe('cloudx: delta: say what to do; --help shows it\n')
    expect((await run('delta', 'undoo')).stderr).toMatch(/There is no command "undoo"/)
    expect((await run('delta', 'undo')).exitCode).toBe(1)
    expect((await run('status', '--jsn')).stderr).toMatch(/did you mean --json/)
  })

  it('knows all commands for "did you mean"', () => {
    const names = commands.map(({ usage }) => (typeof usage === 'string' ? usage : usage[0]!).split(' ')[0]!)
    expect(names.filter((name) => !VERBS.includes(name))).toEqual([])
    expect([deltaList, deltaShow, deltaDrop, deltaUndo, deltaExport, deltaRescue]).toEqual(delta.subcommands)
    expect([initiatorPolicy]).toEqual(initiator.subcommands)
  })
})

describe('version', () => {
  it('is a semantic one', () => expect(version()).toMatch(/^\d+\.\d+\.\d+/))
})
