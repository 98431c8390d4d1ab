import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { isDirectory, type TreeNode } from '../../../lib/filesystem/tree.js'
import { PROBLEMS_MAX, readFolder, shortened, type SourceFile } from '../../../lib/target/creation/folder.js'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-folder-'))
})
afterEach(() => rm(root, { recursive: true }))

async function put(...names: string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(root, name, '..'), { recursive: true })
    await writeFile(join(root, name), name)
  }
}

function pathsOf(children: readonly TreeNode<SourceFile>[], above = ''): string[] {
  return children.flatMap((child) =>
    isDirectory(child)
      ? [`${above}${child.name}/`, ...pathsOf(child.children, `${above}${child.name}/`)]
      : [above + child.name]
  )
}

async function problemsOf(): Promise<string[]> {
  const outcome = await readFolder(root).then(
    () => [],
    (error: { problems: string[] }) => error.problems
  )
  return outcome.map((sentence) => sentence.replaceAll(root, ''))
}

describe('readFolder', () => {
  it('finds all there is, with sizes and times', async () => {
    await put('b', 'a/x', 'a/c/deep')
    await mkdir(join(root, 'empty'))
    await utimes(join(root, 'b'), 1e9, 1.5e9)
    const content = await readFolder(root)
    expect(pathsOf(content.children)).toEqual(['a/', 'a/c/', 'a/c/deep', 'a/x', 'b', 'empty/'])
    expect(content).toMatchObject({ fileCount: 3, directoryCount: 3, contentBytes: 12, leftOut: [] })
    expect(content.allocatedBytes).toBe(3 * 4096)
    expect(content.children[1]).toMatchObject({ lengthBytes: 1, times: { modifiedMs: 1.5e12, accessedMs: 1e12 } })
  })

  it('composes names, as macOS hands them out decomposed', async () => {
    await put('한글'.normalize('NFD'))
    expect(pathsOf((await readFolder(root)).children)).toEqual(['한글'])
  })

  it('tells all names that cannot be, at once, each with its path', async () => {
    await put('sub/a:b', 'sub/what?', 'dot.', '가'.normalize('NFD'), '가', 'Same.txt', 'same.TXT', 'fine')
    const said = await problemsOf()
    expect(said).toEqual(
      expect.arrayContaining([
        '/sub/a:b: this name has the character :, which exFAT forbids in names; rename it first',
        '/sub/what?: this name has the character ?, which exFAT forbids in names; rename it first',
        '/dot.: this name ends in a dot or a space, which Windows and Linux cannot open; rename it first',
        '/same.TXT and /Same.txt would have the same name on the drive; rename one of them first',
        `/가 and /${'가'.normalize('NFD')} would have the same name on the drive; rename one of them first`
      ])
    )
    expect(said).toHaveLength(5)
  })

  it('tells a name whose bytes are no UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from(`${root}/x`), Buffer.of(0xff)])
    await writeFile(bytes, '')
    expect(await problemsOf()).toEqual(['/x\ufffd: this name is no valid UTF-8; rename it first'])
  })

  it('leaves out links, pipes and what belongs to the system, and names them', async () => {
    await put('file', 'System Volume Information/x', 'sub/$RECYCLE.BIN')
    await symlink('file', join(root, 'link'))
    await symlink('..', join(root, 'sub', 'up'))
    execFileSync('mkfifo', [join(root, 'pipe')])
    const { children, leftOut } = await readFolder(root)
    expect(pathsOf(children)).toEqual(['file', 'sub/', 'sub/$RECYCLE.BIN'])
    expect(leftOut.map((sentence) => sentence.replace(root, '')).sort()).toEqual([
      '/System Volume Information belongs to the system',
      '/link is a symbolic link',
      '/pipe is a pipe',
      '/sub/up is a symbolic link'
    ])
  })

  it('may be reached by a link, and leaves out the files that are named', async () => {
    await put('in/a', 'in/b')
    await symlink('in', join(root, 'link'))
    const path = join(root, 'link')
    expect(pathsOf((await readFolder(path, { except: [join(path, 'b')] })).children)).toEqual(['a'])
  })

  it('refuses what is no folder', async () => {
    await put('file')
    await expect(readFolder(join(root, 'gone'))).rejects.toThrow(/gone does not exist/)
    await expect(readFolder(join(root, 'file'))).rejects.toThrow(/file is no folder/)
  })

  it('tells what this user may not read', async () => {
    // Root may read everything.
    if (process.getuid?.() === 0) return
    await put('secret', 'closed/x')
    await chmod(join(root, 'secret'), 0)
    await chmod(join(root, 'closed'), 0)
    expect(await problemsOf()).toEqual([
      '/secret cannot be read: this user may not',
      '/closed cannot be read: this user may not'
    ])
    await chmod(join(root, 'closed'), 0o700)
  })

  it('ends when it is told to', async () => {
    await put('a')
    await expect(readFolder(root, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})

describe('shortened', () => {
  it('tells the first of many sentences, and how many more there are', () => {
    const many = Array.from({ length: PROBLEMS_MAX + 3 }, (_, i) => `${i}`)
    expect(shortened(many.slice(0, PROBLEMS_MAX))).toEqual(many.slice(0, PROBLEMS_MAX))
    expect(shortened(many).slice(-2)).toEqual([`${PROBLEMS_MAX - 1}`, '… and 3 more'])
  })
})
