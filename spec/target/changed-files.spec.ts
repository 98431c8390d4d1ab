import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { changedFiles, findFile, FILES_TOLD_MAX } from '../../lib/target/changed-files.js'
import { createFolderImage } from '../../lib/target/creation/create-image.js'
import { copyOfFile } from '../../lib/target/delta-copy.js'
import { codeOf } from '../../lib/util/errors.js'
import { Changes } from '../../lib/volume/delta/changes.js'
import { DeltaMap } from '../../lib/volume/delta/delta-map.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { writeVolume } from '../../lib/volume/promises.js'

const MIB = 1 << 20
const SIZE = 16 * MIB
const CHUNK = 4096
const THESIS = Buffer.alloc(300_000, 'thesis ')

let folder: string
let volume: MemoryVolume
beforeAll(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cloudx-changed-'))
  const tree = join(folder, 'tree')
  fs.mkdirSync(join(tree, 'Kim'), { recursive: true })
  fs.writeFileSync(join(tree, 'Kim', 'Thesis.docx'), THESIS)
  fs.writeFileSync(join(tree, 'empty.txt'), '')
  fs.writeFileSync(join(tree, 'notes.txt'), 'notes')
  const path = join(folder, 'drive.img')
  await createFolderImage({
    ...{ path, folder: tree, label: 'DRIVE', blockSize: 512, sizeBytes: SIZE },
    found: () => undefined,
    progress: () => undefined
  })
  volume = new MemoryVolume(SIZE)
  await volume.open()
  await writeVolume(volume, fs.readFileSync(path), 0)
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** A delta in which these bytes are changed. */
function changesOf(...ranges: readonly [number, number][]): Changes {
  const map = new DeltaMap(SIZE / CHUNK)
  let slot = 1
  for (const [offset, length] of ranges) {
    const first = Math.floor(offset / CHUNK)
    const count = Math.ceil((offset + length) / CHUNK) - first
    map.assign(first, count, slot)
    slot += count + 1
  }
  return new Changes(map, CHUNK, SIZE)
}
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

describe('changedFiles', () => {
  it('names the files that lie in changed areas, and no others', async () => {
    const { file, offset } = await findFile(volume, '/Kim/Thesis.docx', undefined)
    const at = offset + file.extents[0]!.offset
    const [found, ...others] = await changedFiles(volume, changesOf([at + 8192, 10_000]))
    expect(others).toEqual([])
    expect(found).toMatchObject({ partition: 1, offset: MIB, kind: 'exFAT', fileCount: 1, notes: [] })
    expect(found!.files).toEqual([
      { path: '/Kim/Thesis.docx', directory: false, lengthBytes: 300_000, changedBytes: 12_288 }
    ])
    expect(found!.changedBytes).toBe(12_288)
  })

  it('names folders too, the most changed first', async () => {
    const [found] = await changedFiles(volume, changesOf([MIB, SIZE - MIB]))
    expect(found!.files[0]!.path).toBe('/Kim/Thesis.docx')
    expect(found!.files.map(({ path }) => path).sort()).toEqual(['/Kim', '/Kim/Thesis.docx', '/notes.txt'])
    expect(found!.files.length).toBeLessThanOrEqual(FILES_TOLD_MAX)
  })

  it('tells areas alone, and what to look with, where it knows no file system', async () => {
    const blank = new MemoryVolume(SIZE)
    await blank.open()
    const [found] = await changedFiles(blank, changesOf([0, MIB]))
    expect(found).toMatchObject({ partition: undefined, kind: undefined, changedBytes: MIB, files: [] })
    expect(found!.notes[0]).toContain('apt install sleuthkit')
  })
})

describe('findFile', () => {
  it.each(['/Kim/Thesis.docx', 'kim/THESIS.docx', 'C:\\Kim\\Thesis.docx'])('finds %s', async (path) => {
    const found = await findFile(volume, path, undefined)
    const copy = Buffer.alloc(found.file.lengthBytes)
    for await (const part of copyOfFile(volume, found)) {
      if (part.kind === 'data') part.bytes.copy(copy, part.offset)
    }
    expect(copy.equals(THESIS)).toBe(true)
  })

  it('gives an empty file as one', async () => {
    const parts = []
    for await (const part of copyOfFile(volume, await findFile(volume, '/empty.txt', 1))) parts.push(part)
    expect(parts).toEqual([{ kind: 'size', lengthBytes: 0 }])
  })

  it.each([
    ['/Kim', undefined, 'ERR_ISCSI_FILE_NONE'],
    ['/nothing', undefined, 'ERR_ISCSI_FILE_NONE'],
    ['/notes.txt', 7, 'ERR_ISCSI_FILE_SYSTEM']
  ])('refuses %s on partition %s', async (path, partition, code) => {
    expect(await failure(findFile(volume, path, partition))).toBe(code)
  })
})
