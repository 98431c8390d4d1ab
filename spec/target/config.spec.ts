import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, readConfiguration } from '../../lib/target/config.js'
import type { Configuration, Entry } from '../../lib/target/config.js'
import type { SettingKey } from '../../lib/target/config/settings.js'

type Flags = Partial<Record<SettingKey, string | string[]>>

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-config-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

function read(flags: Flags, file?: string, environment: Record<string, string> = {}): Promise<Configuration> {
  const commandLine = new Map<SettingKey, Entry[]>()
  for (const [key, value] of Object.entries(flags)) {
    const texts = [value].flat()
    commandLine.set(
      key as SettingKey,
      texts.map((text) => ({ text, where: `--${key}`, directory: folder }))
    )
  }
  if (file !== undefined) write('cloudx.yaml', file)
  return readConfiguration({
    commandLine,
    configFile: file === undefined ? undefined : 'cloudx.yaml',
    environment,
    directory: folder
  })
}

async function problemsOf(promise: Promise<Configuration>): Promise<readonly string[]> {
  try {
    await promise
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).problems
  }
  throw new Error('was accepted')
}

const HOUR = 3_600_000
const SECRET = 'correct horse battery'
const OTHER_SECRET = 'another horse battery'

describe('readConfiguration', () => {
  it('fills in every preset for one bare image', async () => {
    const { server, log, warnings } = await read({ lun: './share.img' })
    expect(server).toEqual({
      portals: [{ host: '0.0.0.0', port: 3260 }],
      advertise: undefined,
      stateDirectory: undefined,
      packetSizeBytes: 262144,
      initialR2T: false,
      immediateData: true,
      maxSessions: 256,
      limits: {
        connections: undefined,
        connectionsPerAddress: 256,
        pendingLogins: 256,
        commands: 128,
        waitingBytes: 67108864,
        textBytes: 65536,
        authenticationFailures: 10,
        authenticationFailuresPerUser: 100
      },
      cacheBytes: undefined,
      warmUpBytes: 512 * 2 ** 20,
      graceMs: 96 * HOUR,
      graceClosedMs: 96 * HOUR,
      undoMs: HOUR,
      shred: false,
      deltaLimitBytes: undefined,
      deltaTotalBytes: undefined,
      chunkBytes: 4096,
      flushIntervalMs: 1000,
      multipath: false,
      workers: 1,
      targets: [
        {
          name: 'iqn.2010-04.local.cloudx:share',
          alias: undefined,
          units: [
            {
              lun: 0,
              path: join(folder, 'share.img'),
              partition: undefined,
              readOnly: false,
              shared: false,
              personal: false,
              restoreOn: 'logout',
              removable: false,
              thick: false,
              allowSanitize: false,
              blockSize: 512,
              createBytes: 8589934592,
              writeThrough: false,
              createBlank: false
            }
          ],
          access: { allow: [], chap: undefined, mutual: undefined },
          authors: [],
          initiators: [],
          authorDiscards: false
        }
      ]
    })
    expect(log).toEqual({ level: 'info', format: 'human', file: undefined })
    expect(warnings).toEqual([])
  })

  it('takes every setting from the command line', async () => {
    const secretFile = write('secret', `${SECRET}\n`)
    const mutualFile = write('mutual', `${OTHER_SECRET}\r\n`)
    const { server, log } = await read({
      lun: ['a.img', 'memory:64M'],
      size: '20G',
      blank: 'true',
      'block-size': '4096',
      'read-only': 'true',
      removable: 'true',
      'allow-sanitize': 'true',
      cache: '0',
      'warm-up': '0',
      'target-name': 'IQN.2025-01.org.example:Share',
      alias: 'The share',
      port: '0',
      host: ['127.0.0.1', '::1'],
      advertise: '[2001:db8::5]:3261',
      'packet-size': '512',
      'initial-r2t': 'true',
      'immediate-data': 'false',
      'max-sessions': '2',
      'max-connections': '20',
      'max-connections-per-address': '3',
      'max-pending-logins': '4',
      'max-commands': '5',
      'waiting-memory': '8M',
      'max-text': '16K',
      'login-failures': '6',
      'login-failures-per-user': '7',
      multipath: 'true',
      workers: '3',
      allow: ['iqn.2025-01.org.example:PC-*', '192.168.1.0/24', 'fe80::/10'],
      'chap-user': 'pc',
      'chap-secret-file': secretFile,
      'chap-mutual-user': 'server',
      'chap-mutual-secret-file': mutualFile,
      author: ['local', 'iqn.2025-01.org.example:Owner'],
      policy: ['iqn.2025-01.org.example:Studio=author', '*=restore'],
      'author-discards': 'true',
      grace: '30m',
      'grace-closed': '0',
      undo: '0',
      'delta-limit': '4G',
      'delta-total': '40G',
      'chunk-size': '64K',
      'flush-interval': '5s',
      'write-through': 'true',
      'state-dir': 'state',
      'log-level': 'debug',
      'log-format': 'json',
      'log-file': 'log/server.log'
    })
    expect(log).toEqual({ level: 'debug', format: 'json', file: join(folder, 'log/server.log') })
    expect(server).toEqual({
      portals: [
        { host: '127.0.0.1', port: 0 },
        { host: '::1', port: 0 }
      ],
      advertise: '[2001:db8::5]:3261',
      stateDirectory: join(folder, 'state'),
      packetSizeBytes: 512,
      initialR2T: true,
      immediateData: false,
      maxSessions: 2,
      limits: {
        connections: 20,
        connectionsPerAddress: 3,
        pendingLogins: 4,
        commands: 5,
        waitingBytes: 8388608,
        textBytes: 16384,
        authenticationFailures: 6,
        authenticationFailuresPerUser: 7
      },
      cacheBytes: 0,
      warmUpBytes: 0,
      graceMs: HOUR / 2,
      graceClosedMs: 0,
      undoMs: 0,
      shred: false,
      deltaLimitBytes: 4294967296,
      deltaTotalBytes: 42949672960,
      chunkBytes: 65536,
      flushIntervalMs: 5000,
      multipath: true,
      workers: 3,
      targets: [
        {
          name: 'iqn.2025-01.org.example:share',
          alias: 'The share',
          units: [
            {
              lun: 0,
              path: join(folder, 'a.img'),
              partition: undefined,
              readOnly: true,
              shared: false,
              personal: false,
              restoreOn: 'logout',
              removable: true,
              thick: false,
              allowSanitize: true,
              blockSize: 4096,
              createBytes: 21474836480,
              writeThrough: true,
              createBlank: true
            },
            {
              lun: 1,
              path: 'memory:64M',
              partition: undefined,
              readOnly: true,
              shared: false,
              personal: false,
              restoreOn: 'logout',
              removable: true,
              thick: false,
              allowSanitize: true,
              blockSize: 4096,
              createBytes: 21474836480,
              writeThrough: true,
              createBlank: true
            }
          ],
          access: {
            allow: ['iqn.2025-01.org.example:pc-*', '192.168.1.0/24', 'fe80::/10'],
            chap: { user: 'pc', secret: Buffer.from(SECRET) },
            mutual: { user: 'server', secret: Buffer.from(OTHER_SECRET) }
          },
          authors: ['local', 'iqn.2025-01.org.example:owner'],
          initiators: [
            { match: 'iqn.2025-01.org.example:studio', policy: 'author' },
            { match: '*', policy: 'restore' }
          ],
          authorDiscards: true
        }
      ]
    })
  })

  it.each<[SettingKey, string]>([
    ['size', '20Q'],
    ['size', '0'],
    ['size', '-5G'],
    ['block-size', '1024'],
    ['block-size', '0512'],
    ['read-only', 'maybe'],
    ['cache', 'lots'],
    ['target-name', 'my share'],
    ['target-name', 'iqn.2025-13.org.example:x'],
    ['target-name', 'eui.123'],
    ['alias', 'two\nlines'],
    ['port', '65536'],
    ['port', '3260x'],
    ['port', '-1'],
    ['port', '1e3'],
    ['host', 'http://x/'],
    ['host', '1::2::3'],
    ['advertise', '1.2.3.4:3260:1'],
    ['packet-size', '511'],
    ['packet-size', '2M'],
    ['max-sessions', '0'],
    ['max-connections', '0'],
    ['max-connections-per-address', '0'],
    ['max-pending-logins', '65536'],
    ['max-commands', '1025'],
    ['waiting-memory', '1M'],
    ['max-text', '4K'],
    ['login-failures', '0'],
    ['login-failures-per-user', '10001'],
    ['allow', '192.168.1.0/33'],
    ['allow', '300.1.1.1'],
    ['allow', 'iqn.2025-01.org.example:a b'],
    ['allow', 'iqn.2025-01.*.example'],
    ['author', 'me'],
    ['policy', 'author'],
    ['policy', 'iqn.2025-01.org.example:a=owner'],
    ['policy', 'me=author'],
    ['grace', '96'],
    ['grace', '96 hours'],
    ['delta-limit', '5'],
    ['chunk-size', '12K'],
    ['chunk-size', '2M'],
    ['log-level', 'loud'],
    ['log-format', 'xml']
  ])('refuses --%s %j in one sentence that names both', async (key, text) => {
    const problems = await problemsOf(read({ lun: 'a.img', [key]: text }))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`--${key}: "${text}" must be `)
  })

  it('tells all mistakes at once', async () => {
    const problems = await problemsOf(read({ lun: 'a.img', port: 'x', size: 'y', grace: 'z' }))
    expect(problems).toHaveLength(3)
  })

  it('wants an image', async () => {
    expect(await problemsOf(read({}))).toEqual(['--lun: no image to share; write for example --lun ./share.img'])
  })

  it('refuses a size that is no multiple of the block size', async () => {
    expect(await problemsOf(read({ lun: 'a.img', size: '1048577' }))).toEqual([
      '--size: 1048577 bytes is not a multiple of the block size, 512'
    ])
    expect(await problemsOf(read({ lun: 'a.img', size: '1049088', 'block-size': '4096' }))).toHaveLength(1)
  })

  it('refuses a public --host unless CHAP is asked for', async () => {
    const secretFile = write('secret', `${SECRET}\n`)
    const flags = { lun: 'a.img', host: ['192.168.1.5', '203.0.113.5'] }
    const problems = await problemsOf(read(flags))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^--host: 203\.0\.113\.5 is a public address, .*cloudx:a asks nobody.*chap-user/)
    expect(await problemsOf(read({ ...flags, allow: '203.0.113.0/24' }))).toHaveLength(1)
    const { server } = await read({ ...flags, 'chap-user': 'pc', 'chap-secret-file': secretFile })
    expect(server.portals).toHaveLength(2)
    const guarded = `{ lun: b.img, chap-user: pc, chap-secret-file: '${secretFile}' }`
    const file = `host: 203.0.113.5\ntargets:\n  - ${guarded}\n`
    expect((await read({}, file)).server.targets).toHaveLength(1)
    const half = await problemsOf(read({}, `${file}  - { lun: a.img }\n`))
    expect(half).toEqual([expect.stringMatching(/^cloudx\.yaml:1: host: 203\.0\.113\.5 is a public address/)])
  })

  it('refuses more images than there are numbers', async () => {
    const lun = Array.from({ length: 257 }, (_, i) => `${i}.img`)
    expect(await problemsOf(read({ lun }))).toEqual(['--lun: more than 256 images in one target'])
    expect((await read({ lun: lun.slice(1) })).server.targets[0]!.units).toHaveLength(256)
  })
})

describe('the configuration file', () => {
  it('holds the same keys', async () => {
    const { server, log } = await read({}, 'lun: share.img\nport: 3261\ngrace: 0\nread-only: yes\nlog-level: warn\n')
    expect(server).toMatchObject({ portals: [{ port: 3261 }], graceMs: 0 })
    expect(server.targets[0]!.units).toMatchObject([{ path: join(folder, 'share.img'), readOnly: true }])
    expect(log.level).toBe('warn')
  })

  it('yields to the command line', async () => {
    const { server } = await read({ lun: 'b.img', port: '1' }, 'lun: [a.img, c.img]\nport: 2\nundo: 5m\n')
    expect(server).toMatchObject({ portals: [{ port: 1 }], undoMs: 300_000 })
    expect(server.targets[0]!.units.map(({ path }) => path)).toEqual([join(folder, 'b.img')])
  })

  it('describes several targets, each with its own access list, with the top as their preset', async () => {
    const { server } = await read(
      {},
      `
size: 1G
allow: 10.0.0.0/8
targets:
  - target-name: iqn.2025-01.org.example:a
    lun: [a.img, b.img]
    allow: [iqn.2025-01.org.example:pc-*]
  - lun:
      - path: disk.img
        partition: 2
        read-only: true
      - "사진 모음.img"
    size: 2G
`
    )
    expect(server.targets).toMatchObject([
      {
        name: 'iqn.2025-01.org.example:a',
        access: { allow: ['iqn.2025-01.org.example:pc-*'] },
        units: [
          { lun: 0, createBytes: 2 ** 30 },
          { lun: 1, createBytes: 2 ** 30 }
        ]
      },
      {
        name: 'iqn.2010-04.local.cloudx:disk-p2',
        access: { allow: ['10.0.0.0/8'] },
        units: [
          { lun: 0, path: join(folder, 'disk.img'), partition: 2, readOnly: true, createBytes: 2 ** 31 },
          { lun: 1, path: join(folder, '사진 모음.img'), partition: undefined, readOnly: false }
        ]
      }
    ])
  })

  it('keeps texts as they were written, whatever YAML would make of them', async () => {
    write('secret', SECRET)
    const { server } = await read({}, 'lun: 007\nchap-user: 1e3\nalias: no\nchap-secret-file: secret\n')
    expect(server.targets[0]).toMatchObject({ alias: 'no', access: { chap: { user: '1e3' } } })
    expect(server.targets[0]!.units[0]!.path).toBe(join(folder, '007'))
  })

  it.each<[string, string, string[]]>([
    ['an unknown key', 'lun: a\nsizes: 3\n', ['cloudx.yaml:2: unknown key "sizes"; did you mean "size"?']],
    ['a bad value', 'lun: a\n\nport: high\n', ['cloudx.yaml:3: port: "high" must be a whole number from 0 to 65535']],
    ['an empty value', 'lun: a\nport:\n', ['cloudx.yaml:2: port: "" must be a whole number from 0 to 65535']],
    ['a list for one value', 'lun: a\nport: [1, 2]\n', ['cloudx.yaml:2: port: takes one value, not a list']],
    ['a map for one value', 'lun: a\nport: {a: 1}\n', ['cloudx.yaml:2: port: must be a whole number from 0 to 65535']],
    [
      'a server key in a target',
      'targets:\n- lun: a\n  port: 1\n',
      ['cloudx.yaml:3: "port" cannot stand here; it goes to the top of the file, because it holds for the whole server']
    ],
    [
      'a unit key at the top',
      'lun: a\npartition: 1\n',
      [
        'cloudx.yaml:2: "partition" cannot stand here; it goes into a unit of "lun:", because it says which part of the image is shared'
      ]
    ],
    ['a unit without a path', 'lun:\n- partition: 1\n', ['cloudx.yaml:2: lun: a unit needs "path:", its image']],
    [
      'targets that are no list',
      'targets: a\n',
      ['cloudx.yaml:1: "targets" must be a list: each target begins with "- lun: …"']
    ],
    [
      'a target without an image',
      'targets:\n- alias: x\n',
      ['cloudx.yaml:2: no image to share; write for example --lun ./share.img']
    ],
    ['a list at the top', '- lun: a\n', ['cloudx.yaml:1: must be "key: value" lines, such as "lun: ./share.img"']],
    [
      'one name for two targets',
      'targets:\n- lun: a/x.img\n- lun: b/x.img\n',
      [
        'cloudx.yaml:3: the name iqn.2010-04.local.cloudx:x is taken by the target at cloudx.yaml:2; give one of them another "target-name:"'
      ]
    ],
    [
      'an image beside the list of targets',
      'lun: b\ntargets:\n- lun: a\n- lun: c\n',
      ['cloudx.yaml:1: lun: does not tell which target is meant; write it into one of "targets:"']
    ],
    [
      'a secret without a user',
      'lun: a\nchap-secret-file: x\n',
      ['cloudx.yaml:2: chap-secret-file: a secret without a user; chap-user is missing']
    ]
  ])('tells file and line of %s', async (_title, file, expected) => {
    const problems = await problemsOf(read({}, file))
    expect(problems.slice(0, expected.length)).toEqual(expected)
  })

  it('tells file and line of broken YAML, and nothing that follows from it', async () => {
    const problems = await problemsOf(read({}, 'port: 1\nlun: "a\nfoo: 3\n'))
    expect(problems[0]).toMatch(/^cloudx\.yaml:\d: not valid YAML: /)
    expect(problems.join()).not.toContain('unknown key')
  })

  it('refuses a key that is there twice', async () => {
    expect((await problemsOf(read({}, 'lun: a\nport: 1\nport: 2\n')))[0]).toMatch(/^cloudx\.yaml:3: not valid YAML: /)
  })

  it('does not take an image from the command line for one of several targets', async () => {
    const problems = await problemsOf(read({ lun: 'x.img' }, 'targets:\n- lun: a\n- lun: b\n'))
    expect(problems).toEqual(['--lun: does not tell which target is meant; write it into one of "targets:"'])
  })

  it.each<[string, (path: string) => void, string]>([
    ['is missing', () => undefined, 'The configuration file cloudx.yaml does not exist.'],
    [
      'is too long',
      (path) => writeFileSync(path, '#'.repeat(2 ** 20 + 1)),
      'cloudx.yaml: is no configuration file, it is too long'
    ]
  ])('says that it %s', async (_title, prepare, sentence) => {
    prepare(join(folder, 'cloudx.yaml'))
    const sources = { commandLine: new Map(), configFile: 'cloudx.yaml', environment: {}, directory: folder }
    expect(await problemsOf(readConfiguration(sources))).toEqual([sentence])
  })
})

describe('secrets', () => {
  const user = { lun: 'a.img', 'chap-user': 'pc' }

  it('come from an environment variable', async () => {
    const { server } = await read(user, undefined, { CLOUDX_CHAP_SECRET: SECRET })
    expect(server.targets[0]!.access.chap).toEqual({ user: 'pc', secret: Buffer.from(SECRET) })
  })

  it('come from the file when there is one too', async () => {
    write('secret', OTHER_SECRET)
    const { server } = await read({ ...user, 'chap-secret-file': 'secret' }, undefined, { CLOUDX_CHAP_SECRET: SECRET })
    expect(server.targets[0]!.access.chap!.secret.toString()).toBe(OTHER_SECRET)
  })

  it.each([
    [{ lun: 'a.img', 'restore-on': 'boot' }, /^restore-on boot for all clients of .*boot by iPXE/],
    [{ lun: 'a.img', policy: 'iqn.2025-01.a:*=restore-on=boot' }, /^restore-on boot for iqn.2025-01.a:\* of /]
  ])('warns that boot needs clients that boot by iPXE: %j', async (settings, sentence) => {
    expect((await read(settings)).warnings).toEqual([expect.stringMatching(sentence)])
  })

  it('says nothing of boot where no disk would be restored by it', async () => {
    expect((await read({ lun: 'a.img,personal', 'restore-on': 'boot' })).warnings).toEqual([])
  })

  it('switches undo off with shred, and refuses both', async () => {
    expect((await read({ lun: 'a.img', shred: 'true' })).server).toMatchObject({ undoMs: 0, shred: true })
    expect((await read({ lun: 'a.img', shred: 'true', undo: '0' })).server).toMatchObject({ undoMs: 0, shred: true })
    await expect(read({ lun: 'a.img', shred: 'true', undo: '1h' })).rejects.toThrow('nothing can be undone')
  })

  it.each(['a.img,personal,shared', 'a.img,personal,read-only=true'])('refuses %s', async (lun) => {
    await expect(read({ lun })).rejects.toThrow('cannot be personal and')
  })

  it('are not asked for without a user', async () => {
    const { server, warnings } = await read({ lun: 'a.img' }, undefined, { CLOUDX_CHAP_SECRET: SECRET })
    expect(server.targets[0]!.access.chap).toBeUndefined()
    // Whoever set it thinks that the target asks for it.
    expect(warnings).toEqual([expect.stringMatching(/^CLOUDX_CHAP_SECRET .*chap-user/)])
    expect(warnings[0]).not.toContain(SECRET)
  })

  it('warn when other users can read the file', async () => {
    const path = write('secret', SECRET, 0o644)
    const { warnings } = await read({ ...user, 'chap-secret-file': path })
    expect(warnings).toEqual([
      `The secret file ${path} can be read by other users of this PC; "chmod 600 ${path}" makes it yours alone.`
    ])
  })

  it.each<[string, Flags, string]>([
    [
      'no secret',
      { 'chap-user': 'pc' },
      '--chap-user: a user without a secret; give chap-secret-file, or set the variable'
    ],
    ['no user', { 'chap-secret-file': 'secret' }, '--chap-secret-file: a secret without a user; chap-user is missing'],
    [
      'no user in this direction',
      { 'chap-mutual-user': 'x', 'chap-mutual-secret-file': 'secret' },
      '--chap-mutual-user: mutual CHAP also needs chap-user and its secret'
    ]
  ])('with %s are refused', async (_title, flags, sentence) => {
    write('secret', SECRET)
    expect((await problemsOf(read({ lun: 'a.img', ...flags })))[0]).toContain(sentence)
  })

  it('must differ between the two directions', async () => {
    write('secret', SECRET)
    const flags = {
      ...user,
      'chap-secret-file': 'secret',
      'chap-mutual-user': 'x',
      'chap-mutual-secret-file': 'secret'
    }
    expect(await problemsOf(read(flags))).toEqual([
      '--chap-mutual-user: the two directions of CHAP must not have the same secret'
    ])
  })

  it('never stand in a message', async () => {
    write('secret', 'too short')
    const problems = await problemsOf(read({ ...user, 'chap-secret-file': 'secret' }))
    expect(problems).toEqual([
      `--chap-secret-file: the secret in ${join(folder, 'secret')} is too short with 9 bytes; it must have 12 to 255 bytes`
    ])
  })

  it('shares an image among all initiators, and nobody else has it', async () => {
    const { server } = await read({ lun: ['a.img,shared', 'b.img,partition=2,shared', 'c,shared.img'] })
    expect(server.targets[0]!.units.map(({ path, partition, shared }) => [path, partition, shared])).toEqual([
      [join(folder, 'a.img'), undefined, true],
      [join(folder, 'b.img'), 2, true],
      [join(folder, 'c,shared.img'), undefined, false]
    ])
  })

  it.each([
    ['twice in one target', { lun: ['a.img,shared', './a.img,shared'] }],
    ['shared and private', { lun: ['a.img', 'a.img,shared'] }],
    ['shared, and a partition of it private', { lun: ['a.img,partition=1', 'a.img,shared'] }]
  ])('refuses an image %s', async (_what, flags) => {
    expect(await problemsOf(read(flags))).toEqual([
      `${join(folder, 'a.img')}: is shared, so it can stand once in all: an image is private or shared, never both`
    ])
  })
})
