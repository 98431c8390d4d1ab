import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { isOption, SETTING_KEYS, settingOf } from '../../lib/target/config/settings.js'
import { readBack } from '../../scripts/npm-options.mjs'

const OPTIONS = [
  ...SETTING_KEYS.filter(isOption).map((name) => ({
    name: name,
    isSwitch: settingOf(name).kind.placeholder === ''
  })),
  { name: 'config', isSwitch: false }
]

describe('readBack', () => {
  it.each<[string, string[], Record<string, string>, string[]]>([
    ['nothing taken', ['--lun', 'a.img', '--port', '1'], {}, ['--lun', 'a.img', '--port', '1']],
    ['--lun a.img', ['a.img'], { lun: 'true' }, ['a.img']],
    ['--lun=a.img', [], { lun: 'a.img' }, ['--lun=a.img']],
    ['--lun=a --lun=b', [], { lun: 'a\n\nb' }, ['--lun=a', '--lun=b']],
    ['--lun a --lun=b', ['a'], { lun: 'true\n\nb' }, ['a', '--lun=b']],
    ['a.img --size=20G', ['a.img'], { size: '20G' }, ['a.img', '--size=20G']],
    ['--read-only a.img', ['a.img'], { read_only: 'true' }, ['a.img', '--read-only=true']],
    ['--no-multipath a.img', ['a.img'], { multipath: '' }, ['a.img', '--multipath=false']],
    ['--config cloudx.yaml', ['cloudx.yaml'], { config: 'true' }, ['--config=cloudx.yaml']],
    ['--lun=a --port 3261', ['3261'], { lun: 'a', port: 'true' }, ['--lun=a', '--port=3261']]
  ])('makes of %s what was meant', (_title, args, taken, meant) => {
    const environment = Object.fromEntries(Object.entries(taken).map(([name, value]) => [`npm_config_${name}`, value]))
    expect(readBack(args, environment, OPTIONS)).toEqual(meant)
  })

  it.each<[string, string[], Record<string, string>, string]>([
    ['--lun a.img --port 3261', ['a.img', '3261'], { npm_config_lun: 'true', npm_config_port: 'true' }, '--port'],
    ['a.img --port 3261', ['a.img', '3261'], { npm_config_port: 'true' }, '--port'],
    ['--size 1G --port 1', ['1G', '1'], { npm_config_size: 'true', npm_config_port: 'true' }, '--size and --port'],
    ['--port', [], { npm_config_port: 'true' }, '--port'],
    ['--cache 4G a.img', ['a.img'], { npm_config_cache: '/home/me/4G', INIT_CWD: '/home/me' }, '--cache'],
    ['--allow=x a.img with npm 10', ['a.img'], { npm_config_allow_same_version: 'true' }, '--allow']
  ])('refuses %s with the command that works', (_title, args, environment, names) => {
    const attempt = () => readBack(args, environment, OPTIONS)
    expect(attempt).toThrow(`npm took ${names} for its own`)
    expect(attempt).toThrow(/\n {2}npm start "--" --lun \.\/share\.img /)
  })

  it('does not take the folder of npm itself for our cache', () => {
    expect(readBack(['a'], { npm_config_cache: '/home/me/.npm', INIT_CWD: '/home/me' }, OPTIONS)).toEqual(['a'])
  })
})

describe('through npm itself', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloudx-npm-'))
    const module = JSON.stringify(resolve('scripts/npm-options.mjs'))
    writeFileSync(join(folder, 'package.json'), '{"name":"x","version":"1.0.0","scripts":{"start":"node start.mjs"}}')
    writeFileSync(
      join(folder, 'start.mjs'),
      `import { readBack } from ${module}
       try {
         console.log('meant ' + JSON.stringify(readBack(process.argv.slice(2), process.env, ${JSON.stringify(OPTIONS)})))
       } catch (error) {
         console.log('refused ' + error.message.split('\\n')[0])
       }`
    )
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function npmStart(...args: string[]): string {
    // What an outer npm has told its scripts must not reach the inner one.
    const environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD)/i.test(name))
    )
    const shell = process.platform === 'win32'
    const { stdout } = spawnSync('npm', ['start', ...args], { cwd: folder, env: environment, encoding: 'utf8', shell })
    return stdout.trim().split('\n').at(-1)!
  }

  it.each<[string, string[], string]>([
    ['with the dashes', ['--', '--lun', './a.img', '--port', '3261'], 'meant ["--lun","./a.img","--port","3261"]'],
    ['with the dashes swallowed', ['--lun', './a.img'], 'meant ["./a.img"]'],
    [
      'with the dashes swallowed and "="',
      ['--lun=./a.img', '--lun=./b.img', '--size=20G', '--read-only'],
      'meant ["--lun=./a.img","--lun=./b.img","--size=20G","--read-only=true"]'
    ],
    ['with a bare path', ['./a.img'], 'meant ["./a.img"]']
  ])('%s', (_title, args, expected) => expect(npmStart(...args)).toBe(expected))

  it('refuses what cannot be told apart', () => {
    expect(npmStart('--lun', './a.img', '--port', '3261')).toMatch(/^refused npm took --port for its own/)
  })
})
