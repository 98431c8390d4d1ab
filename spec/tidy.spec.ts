import { describe, expect, it } from '@jest/globals'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What we agreed on about form (docs/architecture.md): import direction, a spec for each file, no dead file, links. */

/** folder → folders that it may import beside itself. `index` is lib/index.ts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  util: [],
  layout: ['util'],
  pdu: ['layout', 'util'],
  filesystem: ['layout', 'util'],
  volume: ['util'],
  scsi: ['volume', 'layout', 'util'],
  iscsi: ['pdu', 'scsi', 'util'],
  target: ['iscsi', 'scsi', 'volume', 'filesystem', 'util'],
  admin: ['target', 'util'],
  cli: ['admin', 'target', 'util'],
  index: ['target', 'iscsi', 'scsi', 'pdu', 'volume', 'util']
}

/** What the program uses of lib/admin: its two ends. */
const ADMIN_FACES = ['lib/admin/client.ts', 'lib/admin/server.ts']

/** package → the one place that may import it. */
const HOMES: Readonly<Record<string, string>> = {
  'buffer-layout': 'lib/layout/',
  'lru-cache': 'lib/volume/layers/cache.ts',
  winston: 'lib/util/log.ts',
  yargs: 'lib/cli/',
  yaml: 'lib/target/config/yaml-file.ts',
  'fs-native-extensions': 'lib/volume/',
  '@node-rs/crc32': 'lib/pdu/digest.ts'
}

/** Entry points and lists: nothing to test in them that a spec of what they name does not. */
const WITHOUT_SPEC: ReadonlySet<string> = new Set(['lib/cli/main.cts', 'lib/cli/console-pump.ts'])

/** What is used from outside: the programs, the public API, and a layer that only specs and drills put in. */
const ROOTS = [
  'lib/cli/main.cts',
  'lib/cli/console-pump.ts',
  'lib/index.ts',
  'lib/target/workers/main.ts',
  'lib/volume/layers/fault.ts'
]

const LIB = filesOf('lib').filter((path) => /\.c?ts$/.test(path) && !path.endsWith('.d.ts'))
const SPECS = filesOf('spec').filter((path) => path.endsWith('.ts'))
const IMPORTS = new Map(LIB.map((path) => [path, importsOf(path)]))

describe('imports', () => {
  it.each(LIB)('%s imports only what its folder may', (path) => {
    const wrong = IMPORTS.get(path)!.filter((target) => !isAllowed(path, target))
    expect(wrong).toEqual([])
  })

  it.each(LIB)('%s imports packages only in their home', (path) => {
    const wrong = packagesOf(path).filter((name) => !path.startsWith(HOMES[name] ?? 'nowhere'))
    expect(wrong).toEqual([])
  })

  it('are never without the ending that Node wants', () => {
    const bare = [...LIB, ...SPECS].flatMap((path) =>
      relativeImports(path).filter((name) => !/\.(c?js|mjs|json)$/.test(name))
    )
    expect(bare).toEqual([])
  })
})

describe('files', () => {
  it.each(LIB.filter(hasLogic))('%s has a spec of its own, or one of its folder that takes it in', (path) => {
    const folder = `spec/${folderOf(path)}/`
    const isOfFamily = (spec: string) => spec.startsWith(folder) && importsOf(spec).includes(path)
    expect(existsSync(specOf(path)) || SPECS.some(isOfFamily)).toBe(true)
  })

  it('are all reached from the program or the public API', () => {
    const reached = new Set<string>()
    const visit = (path: string) => {
      if (reached.has(path)) return
      reached.add(path)
      IMPORTS.get(path)?.forEach(visit)
    }
    for (const root of ROOTS) visit(root)
    expect(LIB.filter((path) => !reached.has(path))).toEqual([])
  })

  it('of spec/support and spec/contracts are all used by a spec', () => {
    const used = new Set(SPECS.flatMap(importsOf))
    const helpers = SPECS.filter((path) => /^spec\/(support|contracts)\//.test(path) && !path.endsWith('.spec.ts'))
    // The runner itself loads what its configuration names.
    const configured = readFileSync('jest.config.js', 'utf8')
    expect(helpers.filter((path) => !used.has(path) && !configured.includes(path))).toEqual([])
  })
})

describe('documents', () => {
  const pages = ['README.md', 'README.ko.md', 'CHANGELOG.md', ...filesOf('docs')].filter(
    (path) => path.endsWith('.md') && existsSync(path)
  )

  it.each(pages)('%s links only to what exists', (path) => {
    const text = readFileSync(path, 'utf8').replace(/```[\s\S]*?```/g, '')
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!.replace(/#.*$/, ''))
    const local = links.filter((link) => link !== '' && !/^[a-z]+:/.test(link))
    expect(local.filter((link) => !existsSync(join(dirname(path), decodeURI(link))))).toEqual([])
  })
})

describe('words', () => {
  /** Put together here, so that this file does not hold them. */
  const forbidden = ['/work' + '/', '/root' + '/', 'to' + 'do:', 'fix' + 'me', 'registry.' + 'npmjs', 'issue ' + '#']
  const texts = [
    'lib',
    'spec',
    'scripts',
    'docs',
    'docker',
    '.ci',
    'README.md',
    'README.ko.md',
    'CHANGELOG.md',
    'package.json'
  ]
    .flatMap(filesOf)
    .filter((path) => /\.(c?ts|m?js|cjs|json|md|ya?ml|sh)$|\/run$|Dockerfile$/.test(path))

  it('speak of the product alone', () => {
    const wrong = texts.flatMap((path) => {
      const text = readFileSync(path, 'utf8').toLowerCase()
      return forbidden.filter((word) => text.includes(word)).map((word) => `${path}: ${word}`)
    })
    expect(wrong).toEqual([])
  })
})

function filesOf(path: string): string[] {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesOf(`${path}/${name}`))
}

function folderOf(path: string): string {
  const [, folder] = path.split('/')
  return folder!.includes('.') ? 'index' : folder!
}

function isAllowed(path: string, target: string): boolean {
  const [from, to] = [folderOf(path), folderOf(target)]
  if (from === to) return true
  // The console and its client see the control interface, not the inside of the server.
  if (from === 'admin' && to === 'target') return target === 'lib/target/control.ts'
  if (from === 'cli' && to === 'admin') return ADMIN_FACES.includes(target)
  return MAY_IMPORT[from]?.includes(to) ?? false
}

/** Files of ours that a file imports, types included. */
function importsOf(path: string): string[] {
  return relativeImports(path).map((name) => sourceOf(normalize(join(dirname(path), name))))
}

function sourceOf(path: string): string {
  const candidates = [path.replace(/\.js$/, '.ts'), path.replace(/\.js$/, '.d.ts'), path]
  return candidates.find((candidate) => existsSync(candidate)) ?? path
}

function relativeImports(path: string): string[] {
  return specifiersOf(path).filter((name) => name.startsWith('.'))
}

function packagesOf(path: string): string[] {
  const names = specifiersOf(path).filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
  return names.map((name) =>
    name
      .split('/')
      .slice(0, name.startsWith('@') ? 2 : 1)
      .join('/')
  )
}

function specifiersOf(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  const pattern =
    /^(?:import|export)\b[^'"`;]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)|\brequire\('([^']+)'\)/gm
  return [...text.matchAll(pattern)].map((match) => match.slice(1).find((name) => name !== undefined)!)
}

function specOf(path: string): string {
  return path.replace(/^lib\//, 'spec/').replace(/\.ts$/, '.spec.ts')
}

/** True where something can go wrong: a function with a body. Types, constants, tables and plain errors have none. */
function hasLogic(path: string): boolean {
  if (WITHOUT_SPEC.has(path)) return false
  const text = readFileSync(path, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
  const method =
    /^ +(?:override |private |static |async |get |set )*(?!constructor|if|for|while|switch)[\w#]+\([^)]*\)[^;{\n]*\{$/m
  return /\bfunction\b|=> \{/.test(text) || method.test(text)
}
