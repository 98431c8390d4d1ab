import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo } from '../support/programs.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { freePort, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const INITIATOR = 'iqn.2026-01.org.example:pc'
const MIB = 2 ** 20
/** Far more log than what the server keeps for a console (256 KiB) and the pipes on the way hold. */
const LOGINS = 4000
const AT_A_TIME = 50

/** The server in a terminal window, which can stand still. */
class Terminal {
  shown = ''
  private said = ''
  private readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<number | null>

  constructor(args: readonly string[]) {
    const program = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
    const line = ['spec/support/terminal.py', process.execPath, program, ...args]
    this.child = spawn('python3', line, { env: { ...process.env, NODE_OPTIONS: '', LANG: 'C.UTF-8', LC_ALL: '' } })
    this.child.stdout.on('data', (chunk: Buffer) => (this.shown += chunk.toString()))
    this.child.stderr.on('data', (chunk: Buffer) => (this.said += chunk.toString()))
    this.ended = once(this.child, 'close').then(([code]) => code as number | null)
  }

  async key(name: 'stop' | 'go' | 'hold' | 'read' | 'int' | 'end'): Promise<void> {
    this.said = ''
    this.child.stdin.write(`${name}\n`)
    await until(`the terminal took ${name}`, () => this.said.includes(`@${name}\n`))
  }

  async shows(text: string): Promise<void> {
    await until(`the terminal shows ${text}`, () => this.shown.includes(text))
  }

  /** For a spec that has failed. */
  kill(): void {
    this.child.kill('SIGKILL')
  }
}

describeWith(['python3', 'qemu-io'], 'a console that stands still', () => {
  let work: ReturnType<typeof workDirectory>
  let terminal: Terminal | undefined
  let port: number
  let logFile: string
  beforeEach(async () => {
    work = workDirectory()
    port = await freePort()
    logFile = join(work.path, 'server.log')
    const image = ['--lun', join(work.path, 'share.img'), '--size', '64M', '--target-name', TARGET]
    terminal = new Terminal([...image, '--host', '127.0.0.1', '--port', String(port), '--log-file', logFile])
    await terminal.shows('Listening on')
  })
  afterEach(() => {
    terminal?.kill()
    work.remove()
  })

  /** Each of them is a line that tells of a target with a long name. */
  async function fillTheLog(): Promise<void> {
    const targetName = `iqn.2026-01.org.example:${'x'.repeat(180)}`
    const one = async () => {
      const initiator = await ScriptedInitiator.connect(port)
      await initiator.tryLogin({ targetName, initiatorName: INITIATOR })
      await initiator.close()
    }
    for (let i = 0; i < LOGINS; i += AT_A_TIME) await Promise.all(Array.from({ length: AT_A_TIME }, one))
  }

  it.each([
    ['Ctrl+S', 'stop', 'go'],
    ['selected text', 'hold', 'read']
  ] as const)('does not hold up I/O (%s), and tells afterwards what it missed', async (_what, stop, go) => {
    const disk = await QemuIo.open({ port, target: TARGET, initiatorName: INITIATOR })
    await disk.write(1, 0, MIB)
    await terminal!.key(stop)
    const before = terminal!.shown.length
    await fillTheLog()
    await disk.write(2, MIB, MIB)
    expect(await disk.holds(1, 0, MIB)).toBe(true)
    expect(await disk.holds(2, MIB, MIB)).toBe(true)
    await disk.quit()
    // The kernel's own buffers of a terminal are a few kilobytes.
    expect(terminal!.shown.length - before).toBeLessThan(100_000)
    await terminal!.key(go)
    await terminal!.shows('lines of the log were not written here while the console stood still')
    const dropped = Number(/(\d+) lines of the log were/.exec(terminal!.shown)![1])
    const shown = terminal!.shown.match(/refused \(0203h\)/g)!.length
    // Whatever else was dropped: the logout of the disk.
    expect(dropped + shown - LOGINS).toBeGreaterThanOrEqual(0)
    expect(dropped + shown - LOGINS).toBeLessThan(20)
    expect(dropped).toBeGreaterThan(0)
    expect(readFileSync(logFile, 'utf8').match(/refused \(0203h\)/g)).toHaveLength(LOGINS)
    await terminal!.key('int')
    await terminal!.shows('Stopped.')
    expect(await terminal!.ended).toBe(0)
  })

  it('does not keep the server from ending', async () => {
    await terminal!.key('stop')
    await fillTheLog()
    await terminal!.key('end')
    await until('the server has stopped', () => readFileSync(logFile, 'utf8').includes('Stopped.'))
    expect(await terminal!.ended).toBe(0)
  })
})
