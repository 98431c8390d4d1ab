import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkConfig } from '../../lib/cli/commands/check-config.js'
import { serveWith } from '../../lib/cli/commands/serve.js'
import type { Server } from '../../lib/cli/commands/serve.js'
import { main } from '../../lib/cli/index.js'
import type { Control } from '../../lib/target/control.js'
import type { ServerOptions } from '../../lib/target/options.js'
import { TextOutput } from '../support/text-output.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-cli-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a command line on a server that only notes what it is told, and stops it at once. */
async function run(argv: string[], server: Partial<Server> = {}, environment: Record<string, string> = {}) {
  const calls: string[] = []
  let options: ServerOptions | undefined
  const noting: Server = {
    open: () => Promise.resolve(),
    control: { initiators: () => Promise.resolve([]) } as unknown as Control,
    listen: () =>
      Promise.resolve([
        { address: '127.0.0.1', port: 40001 },
        { address: '::1', port: 40001 }
      ]),
    close: () => Promise.resolve(void calls.push('close')),
    ...server
  }
  const serve = serveWith(
    (given) => {
      options = given
      return Promise.resolve(noting)
    },
    () => ({ stopped: Promise.resolve('SIGTERM'), end: () => void calls.push('end') }),
    () => Promise.resolve({ close: () => Promise.resolve() })
  )
  const [stdout, stderr] = [new TextOutput(), new TextOutput()]
  const exitCode = await main(argv, { environment, directory: folder, stdout, stderr }, [serve, checkConfig])
  return { exitCode, stdout: stdout.text, stderr: stderr.text, options, calls }
}

describe('cloudx', () => {
  it('serves the image of a bare path, tells where, and ends with 0 after a stop signal', async () => {
    const { exitCode, stdout, stderr, options, calls } = await run(['./share.img'])
    expect(options!.targets[0]!.units).toMatchObject([{ path: join(folder, 'share.img') }])
    expect(stderr).toContain('Listening on 127.0.0.1:40001.')
    expect(stderr).toContain('Listening on [::1]:40001.')
    expect(stderr).toContain('Stopping after SIGTERM')
    expect({ exitCode, stdout, calls }).toEqual({ exitCode: 0, stdout: '', calls: ['close', 'end'] })
  })

  it.each<[string[], string[]]>([
    [['--lun', 'a.img'], ['a.img']],
    [
      ['--lun=a.img', '--lun=b.img'],
      ['a.img', 'b.img']
    ],
    [
      ['--lun', 'a.img', 'b.img'],
      ['a.img', 'b.img']
    ],
    [
      ['a.img', 'b.img'],
      ['a.img', 'b.img']
    ],
    [['serve', 'a.img'], ['a.img']],
    [['serve', '--lun', 'a.img'], ['a.img']],
    [['--read-only', 'a.img'], ['a.img']],
    [['--', 'a.img'], ['a.img']],
    [
      ['a.img', '--', '-odd.img'],
      ['a.img', '-odd.img']
    ],
    [['007'], ['007']],
    [['--lun', '0x10'], ['0x10']]
  ])('takes images from %j', async (argv, names) => {
    const { options } = await run(argv)
    expect(options!.targets[0]!.units.map(({ path }) => path)).toEqual(names.map((name) => join(folder, name)))
  })

  it('understands switches with, without and against', async () => {
    const { options } = await run([
      'a.img',
      '--multipath',
      '--no-immediate-data',
      '--initial-r2t=true',
      '--read-only=false'
    ])
    expect(options).toMatchObject({ multipath: true, immediateData: false, initialR2T: true })
    expect(options!.targets[0]!.units[0]!.readOnly).toBe(false)
  })

  it('reads a configuration file and lets the command line win', async () => {
    writeFileSync(join(folder, 'cloudx.yaml'), 'lun: a.img\nport: 1\nundo: 2h\n')
    const { options } = await run(['--config', 'cloudx.yaml', '--port', '2'])
    expect(options).toMatchObject({ portals: [{ port: 2 }], undoMs: 7_200_000 })
  })

  it('takes secrets from the environment and shows them nowhere', async () => {
    const { options, stdout, stderr } = await run(
      ['a.img', '--chap-user', 'pc', '--log-level', 'debug'],
      {},
      {
        CLOUDX_CHAP_SECRET: 'correct horse battery'
      }
    )
    expect(options!.targets[0]!.access.chap!.secret.toString()).toBe('correct horse battery')
    expect(stdout + stderr).not.toContain('horse')
  })

  it.each<[string[], string]>([
    [['a.img', '--lunn', 'x'], 'cloudx: Unknown option --lunn; did you mean --lun?\n'],
    [['a.img', '--frobnicate'], 'cloudx: Unknown option --frobnicate; --help lists all of them.\n'],
    [
      ['a.img', '--prot', '1', '--sizes', '2'],
      'cloudx: Unknown option --prot; did you mean --port?\ncloudx: Unknown option --sizes; did you mean --size?\n'
    ],
    [['a.img', '-x'], 'cloudx: Unknown option -x; --help lists all of them.\n'],
    [['a.img', '--partition', '2'], 'cloudx: Unknown option --partition; --help lists all of them.\n'],
    [['a.img', '--portNumber', '2'], 'cloudx: Unknown option --portNumber; --help lists all of them.\n'],
    [['a.img', '--size'], 'cloudx: --size: needs a value\n'],
    [['a.img', '--size='], 'cloudx: --size: "" must be a size from 1M such as 20G or 512M\n'],
    [['a.img', '--port', '1', '--port', '2'], 'cloudx: --port: was given 2 times\n'],
    [['a.img', '--config', 'a', '--config', 'b'], 'cloudx: --config: was given 2 times\n'],
    [['a.img', '--config', 'none.yaml'], 'cloudx: The configuration file none.yaml does not exist.\n'],
    [
      ['a.img', '--port', '99999', '--grace', 'x'],
      'cloudx: --port: "99999" must be a whole number from 0 to 65535\ncloudx: --grace: "x" must be a duration such as 96h, 30m, 45s or 0, at most 36500d\n'
    ],
    [[], 'cloudx: --lun: no image to share; write for example --lun ./share.img\n'],
    [
      ['chek-config', 'a.yaml'],
      'cloudx: "chek-config" is no command; did you mean check-config? (An image of this name is ./chek-config.)\n'
    ],
    [['a.img', '--log-file', '/nonexistent/x.log'], 'cloudx: /nonexistent/x.log does not exist.\n']
  ])('%j ends with 1 and its sentences alone', async (argv, stderr) => {
    const result = await run(argv)
    expect(result).toMatchObject({ exitCode: 1, stdout: '', stderr, options: undefined })
  })

  it('tells in the log what kept the server from starting, without a stack', async () => {
    const taken = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE', address: '0.0.0.0', port: 3260 })
    const { exitCode, stderr, calls } = await run(['a.img'], { listen: () => Promise.reject(taken) })
    expect(stderr).toMatch(/^\S+ \S+ ERROR Port 3260 of 0\.0\.0\.0 is taken by another program; [^\n]*\n$/)
    expect({ exitCode, calls }).toEqual({ exitCode: 1, calls: ['end'] })
  })

  it('ends with 1 when the stop fails', async () => {
    const { exitCode, stderr } = await run(['a.img'], { close: () => Promise.reject(new Error('The disk is gone.')) })
    expect(exitCode).toBe(1)
    expect(stderr).toContain('ERROR The disk is gone.')
  })

  it('writes the log into a file too', async () => {
    await run(['a.img', '--log-file', 'x.log', '--log-format', 'json'])
    expect(readFileSync(join(folder, 'x.log'), 'utf8')).toContain('"message":"Stopped."')
  })

  it('shows every option, in groups, with examples', async () => {
    const { exitCode, stdout, options } = await run(['--help'])
    expect({ exitCode, options }).toEqual({ exitCode: 0, options: undefined })
    for (const group of ['Image:', 'Network:', 'Access:', 'Delta:', 'Server:', 'Log:', 'Examples:', 'Commands:']) {
      expect(stdout).toContain(`\n${group}\n`)
    }
    for (const option of ['--lun', '--chap-mutual-secret-file', '--author-discards', '--config', '--grace-closed']) {
      expect(stdout).toContain(`${option} `)
    }
    expect(stdout).not.toContain('--partition')
  })

  it('shows its version', async () => {
    expect(await run(['--version'])).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  })
})

describe('cloudx check-config', () => {
  it('shows what a file means, without its secrets, and starts nothing', async () => {
    writeFileSync(join(folder, 'secret'), 'correct horse battery', { mode: 0o600 })
    const lines = ['lun:', '- path: a.img', '  partition: 2', '- path: b.img', '  read-only: yes', 'allow: 10.0.0.0/8']
    writeFileSync(
      join(folder, 'x.yaml'),
      [...lines, 'chap-user: pc', 'chap-secret-file: secret', 'author: local'].join('\n')
    )
    const { exitCode, stdout, stderr, options } = await run(['check-config', 'x.yaml'])
    expect(stdout.split('\n')).toEqual([
      'iqn.2010-04.local.cloudx:a-p2',
      `  LUN 0: ${join(folder, 'a.img')} (partition 2, 512-byte blocks, 8 GiB if it must be made)`,
      `  LUN 1: ${join(folder, 'b.img')} (read-only, 512-byte blocks, 8 GiB if it must be made)`,
      '  access: 10.0.0.0/8; CHAP',
      '  authors: local',
      'The configuration is right. The server would listen on 0.0.0.0 port 3260.',
      ''
    ])
    expect({ exitCode, stderr, options }).toEqual({ exitCode: 0, stderr: '', options: undefined })
  })

  it('ends with 1 and all mistakes', async () => {
    writeFileSync(join(folder, 'x.yaml'), 'lun: a.img\nport: x\nsiez: 1\n')
    const { exitCode, stderr } = await run(['check-config', 'x.yaml'])
    expect(exitCode).toBe(1)
    expect(stderr.split('\n')).toEqual([
      'cloudx: x.yaml:3: unknown key "siez"; did you mean "size"?',
      'cloudx: x.yaml:2: port: "x" must be a whole number from 0 to 65535',
      ''
    ])
  })
})
