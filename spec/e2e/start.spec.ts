import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a clone has and a start needs; everything else has to come by itself. */
const CLONED = ['lib', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', '.npmrc']
const INSTALL_LIMIT_MS = 300_000

let clone: string
let images: string
beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), 'cloudx clone-'))
  images = mkdtempSync(join(tmpdir(), 'cloudx images-'))
  for (const name of CLONED) cpSync(name, join(clone, name), { recursive: true })
})
afterAll(() => {
  rmSync(clone, { recursive: true, force: true })
  rmSync(images, { recursive: true, force: true })
})

/** `npm start` as a person types it, from the folder of the images. */
class NpmStart {
  output = ''
  private readonly child: ChildProcess
  private readonly ended: Promise<unknown>

  constructor(args: readonly string[]) {
    const environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD)/i.test(name))
    )
    const all = ['--prefix', clone, 'start', ...args]
    this.child = spawn('npm', all, {
      cwd: images,
      env: { ...environment, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.child.stdout!.on('data', (chunk: Buffer) => (this.output += chunk.toString()))
    this.child.stderr!.on('data', (chunk: Buffer) => (this.output += chunk.toString()))
    this.ended = once(this.child, 'close')
  }

  /** The port, when the server listens. */
  async listening(): Promise<number> {
    for (;;) {
      const match = /Listening on 127\.0\.0\.1:(\d+)/.exec(this.output)
      if (match) return Number(match[1])
      await this.progress()
    }
  }

  async progress(): Promise<void> {
    const more = Promise.race([once(this.child.stdout!, 'data'), once(this.child.stderr!, 'data')])
    const end = this.ended.then(() => Promise.reject(new Error(`npm start ended:\n${this.output}`)))
    await Promise.race([more, end])
  }

  /** A signal for npm alone, as a service manager or `kill` sends it. The pipes close when the server has ended too. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM')
    await this.ended
  }
}

async function isTaken(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

const SMALL = ['--host', '127.0.0.1', '--port', '0', '--size', '4M']

describe('npm start', () => {
  it(
    'on a fresh clone installs, builds and serves an image of the folder where it was typed',
    async () => {
      const start = new NpmStart(['--', '--lun', './a b.img', ...SMALL])
      const port = await start.listening()
      expect(start.output).toContain('Installing the packages')
      expect(start.output).toContain('Built.')
      expect(statSync(join(images, 'a b.img')).size).toBe(4194304)
      await start.stop()
      expect(start.output).toContain('Stopped.')
      expect(await isTaken(port)).toBe(false)
    },
    INSTALL_LIMIT_MS
  )

  it('does neither a second time', async () => {
    const start = new NpmStart(['--', './a b.img', ...SMALL])
    await start.listening()
    expect(start.output).not.toContain('Installing')
    expect(start.output).not.toContain('Building')
    await start.stop()
  }, 60_000)

  it('understands the line that PowerShell leaves of it', async () => {
    const start = new NpmStart(['--lun', './c.img', '--host=127.0.0.1', '--port=0', '--size=4M', '--read-only'])
    await start.listening()
    expect(existsSync(join(images, 'c.img'))).toBe(true)
    await start.stop()
  }, 60_000)

  it('refuses what npm has made unreadable, with the command that works', async () => {
    const start = new NpmStart(['--lun', './d.img', '--port', '0'])
    await expect(start.listening()).rejects.toThrow('npm start "--" --lun ./share.img --port …')
    expect(existsSync(join(images, 'd.img'))).toBe(false)
  }, 60_000)

  it('builds again when a source has changed', async () => {
    writeFileSync(join(clone, 'lib', 'index.ts'), '\n', { flag: 'a' })
    const start = new NpmStart(['--', '--version'])
    await expect(start.listening()).rejects.toThrow(/Built\.[^]*\d+\.\d+\.\d+/)
  }, 120_000)
})
