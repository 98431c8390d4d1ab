import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { describeWhen, describeWith, succeed } from '../support/programs.js'
import { freePort, ServerProcess, workDirectory, type StartOptions } from '../support/server-process.js'

jest.setTimeout(60_000)

const MIB = 1024 * 1024

let work: ReturnType<typeof workDirectory>
beforeEach(() => {
  work = workDirectory()
})
afterEach(() => work.remove())

/** Starts a server that must end with exit code 1, without a stack trace, and answers what it said. */
async function refusal(args: readonly string[], options: StartOptions = {}): Promise<string> {
  const { code, log } = await ServerProcess.run(args, options)
  const said = log.join('\n')
  expect(said).not.toMatch(/^\s+at .*:\d+/m)
  expect(said).not.toMatch(/node:internal|Error:/)
  expect(code).toBe(1)
  return said
}

function imageOf(name: string, length = MIB): string {
  const path = join(work.path, name)
  writeFileSync(path, '')
  truncateSync(path, length)
  return path
}

describe('a command line that cannot be right', () => {
  it.each<[string, string[], RegExp]>([
    ['a size without a unit that exists', ['--size', '20Q'], /--size: "20Q" must be a size/],
    ['a size of nothing', ['--size', '0'], /--size: "0" must be a size/],
    ['a size that is no whole number of blocks', ['--size', '1048577'], /--size: 1048577 bytes is not a multiple of/],
    ['a block size that no disk has', ['--block-size', '1024'], /--block-size: "1024" must be 512 or 4096/],
    ['a target name that is no IQN', ['--target-name', 'disk'], /--target-name: "disk" must be an iSCSI name/],
    ['an author who is no IQN', ['--author', 'me'], /--author: "me" must be the iSCSI name of an initiator/],
    ['an address range with too many bits', ['--allow', '10.0.0.0/33'], /--allow: "10.0.0.0\/33" must be/],
    ['a packet size below the least of iSCSI', ['--packet-size', '511'], /--packet-size: "511" must be/],
    ['a packet size above the most', ['--packet-size', '2M'], /--packet-size: "2M" must be/],
    ['a time without a unit', ['--grace', '5'], /--grace: "5" must be a duration/],
    ['an unknown option', ['--prot', '1'], /Unknown option --prot; did you mean --port\?/],
    ['an option without its value', ['--size'], /--size: needs a value/],
    ['a user without a secret', ['--chap-user', 'pc'], /--chap-user: a user without a secret/],
    ['a partition that is no number', ['--lun', 'x.img,partition=two'], /partition/]
  ])('is refused with the reason: %s', async (_title, args, reason) => {
    const lun = args.includes('--lun') ? [] : ['--lun', join(work.path, 'new.img')]
    expect(await refusal([...lun, ...args])).toMatch(reason)
    // Nothing is made for a command line that is wrong.
    expect(readdirSync(work.path)).toEqual([])
  })

  it('tells all mistakes at once, each in its own line', async () => {
    const said = await refusal(['--lun', join(work.path, 'new.img'), '--size', 'x', '--grace', 'y'])
    expect(said.split('\n')).toHaveLength(2)
  })

  it('is refused with a secret that is too short, which it does not repeat', async () => {
    const file = join(work.path, 'secret.txt')
    writeFileSync(file, 'elevenbytes\n', { mode: 0o600 })
    const args = ['--lun', join(work.path, 'new.img'), '--chap-user', 'pc']
    const fromFile = await refusal([...args, '--chap-secret-file', file])
    const fromVariable = await refusal(args, { environment: { CLOUDX_CHAP_SECRET: 'elevenbytes' } })
    for (const said of [fromFile, fromVariable]) {
      expect(said).toMatch(/too short with 11 bytes; it must have 12 to 255 bytes/)
      expect(said).not.toContain('elevenbytes')
    }
  })

  it('is refused without an image', async () => {
    expect(await refusal([])).toMatch(/no image to share; write for example --lun/)
  })
})

describe('a configuration file that cannot be right', () => {
  it.each<[string, string, RegExp[]]>([
    ['an unknown key', 'lun: a.img\nprot: 3260\n', [/^cloudx: cloudx\.yaml:2: .*prot.*port/m]],
    ['a value of the wrong kind', 'lun: a.img\ngrace: soon\n', [/^cloudx: cloudx\.yaml:2.*grace.*soon.*must be/m]],
    ['broken YAML', 'lun: [a.img\n', [/^cloudx: cloudx\.yaml:\d/m]],
    [
      'two targets of one name',
      'targets:\n  - target-name: iqn.2026-01.org.example:a\n    lun: a.img\n  - target-name: iqn.2026-01.org.example:a\n    lun: b.img\n',
      [/cloudx\.yaml:4.*is taken by the target at cloudx\.yaml:2/]
    ]
  ])('is refused with its place: %s', async (_title, text, reasons) => {
    const file = join(work.path, 'cloudx.yaml')
    writeFileSync(file, text)
    const said = await refusal(['--config', file])
    for (const reason of reasons) expect(said).toMatch(reason)
    expect(readdirSync(work.path)).toEqual(['cloudx.yaml'])
  })

  it('is refused when it does not exist', async () => {
    expect(await refusal(['--config', join(work.path, 'none.yaml')])).toMatch(/none\.yaml does not exist/)
  })
})

describe('a place that cannot be used', () => {
  it('is refused when the port is taken', async () => {
    const other: Server = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    try {
      const said = await refusal(['--lun', imageOf('share.img')], { port })
      expect(said).toMatch(new RegExp(`Port ${port} .*is taken by another program; .*--port`))
    } finally {
      other.close()
    }
  })

  it('is refused when the address is not of this PC', async () => {
    const said = await refusal(['--lun', imageOf('share.img')], { hosts: ['10.255.113.113'] })
    expect(said).toMatch(/10\.255\.113\.113 is not an address of this computer/)
  })

  it('is refused when the folder of the image does not exist, and makes none', async () => {
    const said = await refusal(['--lun', join(work.path, 'nowhere', 'share.img')])
    expect(said).toMatch(/nowhere does not exist/)
    expect(existsSync(join(work.path, 'nowhere'))).toBe(false)
    const other = await refusal(['--lun', imageOf('share.img'), '--state-dir', join(work.path, 'a', 'b')])
    expect(other).toMatch(/\/a does not exist/)
    const third = await refusal(['--lun', join(work.path, 'nowhere', 'x.img'), '--state-dir', join(work.path, 'state')])
    expect(third).toMatch(/nowhere/)
    expect(existsSync(join(work.path, 'nowhere'))).toBe(false)
  })

  it.each<[string, number, string[], RegExp]>([
    ['is no whole number of sectors', MIB + 1, [], /has 1048577 bytes, .*not a multiple of 512/],
    ['is no whole number of its blocks', MIB + 512, ['--block-size', '4096'], /1049088 bytes, not a multiple .*4096/],
    ['is empty', 0, [], /share\.img is empty/]
  ])('is refused when the image %s', async (_title, length, args, reason) => {
    expect(await refusal(['--lun', imageOf('share.img', length), ...args])).toMatch(reason)
  })

  it('is refused when the image is a folder', async () => {
    mkdirSync(join(work.path, 'folder'))
    expect(await refusal(['--lun', join(work.path, 'folder')])).toMatch(/folder is a directory/)
  })

  it('is refused when one image is given twice, under whatever name', async () => {
    const image = imageOf('share.img')
    linkSync(image, join(work.path, 'other.img'))
    expect(await refusal(['--lun', image, '--lun', image])).toMatch(/LUN 0 and LUN 1 .* are the same image/)
    expect(await refusal(['--lun', image, '--lun', join(work.path, 'other.img')])).toMatch(/are the same image/)
  })

  it('is refused when a partition is wanted of an image that has none, and says of which', async () => {
    const said = await refusal(['--lun', `${imageOf('share.img')},partition=1`])
    expect(said).toMatch(/share\.img.*no partition table/)
  })

  it('is refused when the log file cannot be written', async () => {
    const said = await refusal(['--lun', imageOf('share.img'), '--log-file', join(work.path, 'no', 'log.txt')])
    expect(said).toMatch(/no\/log\.txt/)
  })
})

describeWith(['qemu-img', 'qemu-io'], 'an image that is being served', () => {
  it('is refused to a second server, which names the first, while other programs can read it', async () => {
    const image = imageOf('share.img')
    const first = await ServerProcess.start(['--lun', image])
    try {
      const said = await refusal(['--lun', image])
      expect(said).toContain('share.img')
      expect(said).toContain(`process ${first.pid}`)
      expect(await succeed('qemu-img', ['info', image])).toMatch(/virtual size: 1 MiB/)
      expect(await succeed('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 0 0 1M', image])).toMatch(/read 1048576/)
    } finally {
      await first.kill()
    }
    // The lock went with the process, although it had no time to give it back.
    const second = await ServerProcess.start(['--lun', image])
    expect(await second.stop()).toBe(0)
  })

  it('is refused to the author of a second server while the first one reads it', async () => {
    const image = imageOf('share.img')
    const target = 'iqn.2026-01.org.example:disk'
    const reader = await ServerProcess.start(['--lun', image, '--state-dir', join(work.path, 'one')])
    const writer = await ServerProcess.start([
      ...['--lun', image, '--state-dir', join(work.path, 'two'), '--author', 'local', '--target-name', target]
    ])
    try {
      await expect(succeed('qemu-img', ['info', writer.url(target)])).rejects.toThrow()
      expect(await writer.logged(/refused \(/)).toMatch(/share\.img is locked by another program/)
    } finally {
      await Promise.all([reader.kill(), writer.kill()])
    }
  })
})

/** A program that takes from root what it may do beyond the mode bits; others need none. */
function launcherWithoutRights(): readonly string[] | undefined {
  if (process.getuid?.() !== 0) return []
  const launcher = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']
  try {
    execFileSync(launcher[0]!, [...launcher.slice(1), 'true'], { stdio: 'ignore' })
    return launcher
  } catch {
    return undefined
  }
}

const launcher = launcherWithoutRights()

describeWhen(launcher !== undefined, 'rights cannot be given up here', 'a user without the right', () => {
  const options: StartOptions = { launcher: launcher ?? [] }

  it('to read the image is told so', async () => {
    const image = imageOf('share.img')
    chmodSync(image, 0)
    expect(await refusal(['--lun', image], options)).toMatch(/share\.img.*(permission|may not)/i)
  })

  it('to write into its folder is told so, and where the state could go', async () => {
    const folder = join(work.path, 'folder')
    mkdirSync(folder)
    const image = imageOf('folder/share.img')
    chmodSync(folder, 0o500)
    expect(await refusal(['--lun', image], options)).toMatch(/share\.img\.cloudx.*--state-dir/)
    const other = await ServerProcess.start(['--lun', image, '--state-dir', join(work.path, 'state')], options)
    expect(await other.stop()).toBe(0)
    chmodSync(folder, 0o700)
  })

  it('to listen on a port of the system is told so', async () => {
    const image = imageOf('share.img')
    const said = await refusal(['--lun', image], { ...options, port: 860 }).catch((error: Error) => error.message)
    // A PC may open its low ports to all (ip_unprivileged_port_start); then there is nothing to refuse.
    expect(said).toMatch(/860/)
    expect(said).toMatch(/permission|the server was expected to refuse/i)
  })
})

describeWhen(canAttachLoop(), 'loop devices cannot be attached here', 'a disk that this PC has mounted', () => {
  it('is refused, as a device and as the file behind it, and served when it is free again', async () => {
    const image = imageOf('disk.img', 16 * MIB)
    await succeed('mkfs.ext4', ['-q', '-F', image])
    const device = (await succeed('losetup', ['--find', '--show', image])).trim()
    const place = join(work.path, 'place')
    mkdirSync(place)
    try {
      await succeed('mount', ['-o', 'ro', device, place])
      const state = ['--state-dir', join(work.path, 'state')]
      expect(await refusal(['--lun', device, ...state])).toMatch(/mounted at .*place/)
      expect(await refusal(['--lun', image, ...state])).toMatch(/mounted at .*place/)
      await succeed('umount', [place])
      const server = await ServerProcess.start(['--lun', device, ...state])
      await expect(succeed('mount', ['-o', 'ro', device, place])).rejects.toThrow()
      expect(await server.stop()).toBe(0)
    } finally {
      await succeed('umount', [place]).catch(() => undefined)
      await succeed('losetup', ['-d', device])
    }
  })
})

function canAttachLoop(): boolean {
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

describe('a free port', () => {
  it('is found and named when 0 is asked for', async () => {
    const server = await ServerProcess.start(['--lun', imageOf('share.img')], { port: 0 })
    const [, port] = /Listening on 127\.0\.0\.1:(\d+)/.exec(await server.logged(/Listening/))!
    expect(Number(port)).toBeGreaterThan(0)
    expect(Number(port)).not.toBe(await freePort())
    expect(await server.stop()).toBe(0)
  })
})
