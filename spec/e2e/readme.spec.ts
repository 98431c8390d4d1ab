import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { bootWithIpxe } from '../../lib/cli/recipes/ipxe.js'
import { connectFromLinux, disconnectFromLinux } from '../../lib/cli/recipes/linux.js'
import { startQemu } from '../../lib/cli/recipes/qemu.js'
import { connectFromWindows, disconnectFromWindows, openWindowsFirewall } from '../../lib/cli/recipes/windows.js'
import { SETTING_KEYS } from '../../lib/target/config/settings.js'
import { problemsOfPowerShell } from '../support/power-shell.js'
import { QemuIo } from '../support/programs.js'
import { freePort, ServerProcess, workDirectory } from '../support/server-process.js'

/**
 * Every command of README.md, in its order. What runs here is run as it stands there; what needs Windows, VirtualBox,
 * VMware or root on another PC must be a line that the banner prints too (which other specs run), or one of a table.
 * A line that no rule covers fails.
 */
jest.setTimeout(180_000)

const CLONE = resolve('.')
const TARGET = 'iqn.2010-04.local.cloudx:share'
const SHARE = { targetName: TARGET, host: '192.168.0.10', port: 3260, chapUser: undefined, mutual: false }
const CLIENT = 'iqn.1991-05.com.microsoft:pc-07'

interface Block {
  readonly language: string
  readonly text: string
}

const README = readFileSync('README.md', 'utf8')
const BLOCKS = blocksOf(README)
const COMMANDS = commandsOf(BLOCKS)

/** The lines that the banner prints for the same share. */
const PRINTED: ReadonlySet<string> = new Set([
  ...connectFromWindows(SHARE),
  ...disconnectFromWindows(SHARE),
  openWindowsFirewall(3260, []),
  ...connectFromLinux(SHARE),
  ...disconnectFromLinux(SHARE),
  ...bootWithIpxe(SHARE),
  startQemu(SHARE)
])

/** Lines for programs that are not here: as their manuals have them. */
const ELSEWHERE: readonly RegExp[] = [
  // systemd's 60-persistent-storage.rules: ip-PORTAL-iscsi-TARGET-lun-LUN-partN.
  /^sudo mount \/dev\/disk\/by-path\/ip-192\.168\.0\.10:3260-iscsi-iqn\.2010-04\.local\.cloudx:share-lun-0-part1 \/mnt$/,
  /^sudo umount \/mnt$/,
  // VirtualBox manual, VBoxManage storageattach: --port is that of the controller, --tport that of TCP.
  /^VBoxManage storageattach "[^"]+" --storagectl "SATA" --port 1 --device 0 --type hdd --medium iscsi --server 192\.168\.0\.10 --target iqn\.2010-04\.local\.cloudx:share --tport 3260 --lun 0 --initiator iqn\.2010-04\.local\.cloudx:my-machine$/,
  // ESXCLI reference: iscsi software set, iscsi adapter discovery sendtarget add, storage core adapter rescan.
  /^esxcli iscsi software set --enabled=true$/,
  /^esxcli iscsi adapter discovery sendtarget add --adapter=vmhba64 --address=192\.168\.0\.10:3260$/,
  /^esxcli storage core adapter rescan --adapter=vmhba64$/
]

const COMMANDS_OF_A_RUNNING_SERVER = /^npm start -- (status|sessions|delta) /
const COMMANDS_THAT_END = /^npm start -- (image create|secret new|check-config|doctor)\b/

let work: ReturnType<typeof workDirectory>
beforeAll(() => {
  work = workDirectory()
  mkdirSync(join(work.path, 'folder'))
  writeFileSync(join(work.path, 'folder', '영화.txt'), 'a film')
  const file = BLOCKS.find(({ language }) => language === 'yaml')!
  writeFileSync(join(work.path, 'cloudx.yaml'), file.text)
})
afterAll(() => work.remove())

describe('the commands of README.md', () => {
  it('are there', () => expect(COMMANDS.length).toBeGreaterThan(25))

  it.each(COMMANDS)('%s', async (command) => {
    if (PRINTED.has(command)) {
      expect(problemsOfPowerShell(command.startsWith('sudo ') ? '' : command)).toEqual([])
    } else if (ELSEWHERE.some((line) => line.test(command))) {
      expect(command).not.toContain('  ')
    } else if (command === 'npm test') {
      // This very run; what it starts is there.
      expect(readPackage().scripts.test).toBe('node scripts/test.mjs')
    } else if (COMMANDS_OF_A_RUNNING_SERVER.test(command)) {
      await ask(command)
    } else if (COMMANDS_THAT_END.test(command)) {
      await end(command)
    } else if (/^npm start /.test(command)) {
      await serve(command)
    } else {
      throw new Error(`no rule covers this command of README.md: ${command}`)
    }
  })
})

describe('what README.md says in passing', () => {
  const inline = [...withoutBlocks(README).matchAll(/`([^`]+)`/g)].map(([, text]) => text!)
  const known = new Set<string>(SETTING_KEYS)

  it('names options that exist', () => {
    const own = inline.filter((text) => text.startsWith('--') || text.includes(' --'))
    const names = own.flatMap((text) => [...text.matchAll(/(?<=^|\s)--([a-z][a-z0-9-]*)/g)].map(([, name]) => name!))
    expect(names.length).toBeGreaterThan(20)
    expect(names.filter((name) => !known.has(name) && !['help', 'config'].includes(name))).toEqual([])
  })

  it('names lines of PowerShell that are right', () => {
    const lines = inline.filter((text) => /^[A-Z][a-z]+-[A-Z]\w+ /.test(text))
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.flatMap(problemsOfPowerShell)).toEqual([])
  })
})

describe('README.ko.md', () => {
  const korean = readFileSync('README.ko.md', 'utf8')

  it('has the commands and the file of README.md, in its order', () => {
    expect(commandsOf(blocksOf(korean))).toEqual(COMMANDS)
    expect(blocksOf(korean).filter(({ language }) => language === 'yaml')).toEqual(
      BLOCKS.filter(({ language }) => language === 'yaml')
    )
  })

  it('names the same options, and has the same headings and tables', () => {
    const options = (text: string) => [...new Set(text.match(/(?<![\w-])--[a-z][a-z0-9-]+/g))].toSorted()
    expect(options(korean)).toEqual(options(README))
    const shape = (text: string) => withoutBlocks(text).match(/^#+(?= )|^\|(?= )/gm)
    expect(shape(korean)).toEqual(shape(README))
  })
})

/** A server, until it listens; Ctrl+C ends it. */
async function serve(command: string): Promise<void> {
  const npm = start(`${command.replace(/ --host \S+/, '')} --host=127.0.0.1 --port=0`)
  await npm.printed(/Listening on 127\.0\.0\.1:\d+/)
  process.kill(-npm.pid, 'SIGINT')
  await npm.ended
  expect(npm.output).toMatch(/Stopped\./)
  expect(npm.output).not.toMatch(/ERROR/)
}

const ENDINGS: readonly [RegExp, number[], RegExp][] = [
  [/ image create /, [0], /movies\.img/],
  [/ secret new /, [0], /16/],
  [/ check-config /, [0], /iqn\.2025-01\.org\.example:exam/],
  // A PC for tests may have something to fix.
  [/ doctor$/, [0, 1], /Port/]
]

async function end(command: string): Promise<void> {
  const npm = start(command)
  const code = await npm.ended
  const [, codes, says] = ENDINGS.find(([name]) => name.test(command))!
  expect(codes).toContain(code)
  expect(npm.output).toMatch(says)
  if (command.includes('image create')) expect(existsSync(join(work.path, 'movies.img'))).toBe(true)
}

const ANSWERS: readonly [RegExp, RegExp][] = [
  [/ status /, /share\.img/],
  [/ sessions /, /pc-07/],
  [/ delta list /, /pc-07/],
  [/ delta undo /, /pc-07/]
]

/** While a server runs that has had a client, which is logged in but for an undo. */
async function ask(command: string): Promise<void> {
  const port = await freePort()
  const server = await ServerProcess.start(['--lun', join(work.path, 'share.img')], { port })
  try {
    const client = await QemuIo.open({ port, target: TARGET, initiatorName: CLIENT })
    await client.write(7, 2 ** 20, 2 ** 20)
    const undo = command.includes('undo')
    if (undo) await client.quit()
    const npm = start(command)
    expect({ code: await npm.ended, output: npm.output }).toMatchObject({ code: 0 })
    expect(npm.output).toMatch(ANSWERS.find(([name]) => name.test(command))![1])
    if (!undo) return await client.quit()
    const again = await QemuIo.open({ port, target: TARGET, initiatorName: CLIENT })
    expect(await again.holds(7, 2 ** 20, 2 ** 20)).toBe(true)
    await again.quit()
  } finally {
    await server.stop()
  }
}

/** The command in a shell of its own process group, in the folder of the images; npm is told where the clone is. */
function start(command: string) {
  const environment = Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD)/i.test(name))
  const line = command.replace(/^npm start/, `npm --prefix '${CLONE}' start`)
  const child = spawn('sh', ['-c', line], {
    cwd: work.path,
    detached: true,
    env: { ...Object.fromEntries(environment), NODE_OPTIONS: '', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const said = {
    pid: child.pid!,
    output: '',
    ended,
    printed: (pattern: RegExp) =>
      new Promise<void>((done, fail) => {
        const look = () => pattern.test(said.output) && done()
        child.stdout.on('data', look)
        child.stderr.on('data', look)
        void ended.then(() => fail(new Error(`${command} ended:\n${said.output}`)))
      })
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said.output += text))
  }
  return said
}

function readPackage(): { readonly scripts: Readonly<Record<string, string>> } {
  return JSON.parse(readFileSync('package.json', 'utf8')) as ReturnType<typeof readPackage>
}

/** The fenced blocks, also those that are indented in a list. */
function blocksOf(markdown: string): Block[] {
  const found = markdown.matchAll(/^([ \t]*)```(\w*)\n([\s\S]*?)^\1```/gm)
  return [...found].map(([, indent, language, text]) => ({
    language: language!,
    text: text!.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
  }))
}

function withoutBlocks(markdown: string): string {
  return markdown.replace(/^([ \t]*)```[\s\S]*?^\1```/gm, '')
}

/** The lines to type. */
function commandsOf(blocks: readonly Block[]): string[] {
  return blocks
    .filter(({ language }) => language !== 'yaml')
    .flatMap(({ text }) => text.split('\n'))
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}
