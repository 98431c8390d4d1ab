import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deltaPaths, listDelta, removeInSteps } from '../../../lib/volume/delta/files.js'

let directory: string

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'files-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true }))

function touch(...names: string[]): void {
  for (const name of names) fs.writeFileSync(join(directory, name), '')
}

describe('the files of a delta', () => {
  it('carry the name and the epoch', () => {
    expect(deltaPaths('/d', 'lun0', 7)).toEqual({
      map: join('/d', 'lun0-7.map'),
      slots: join('/d', 'lun0-7.slots'),
      key: join('/d', 'lun0-7.key')
    })
  })

  it('are none in an empty directory, and in one that is not there', async () => {
    const none = { epoch: undefined, epochMax: 0, leftovers: [] }
    await expect(listDelta(directory, 'lun0')).resolves.toEqual(none)
    await expect(listDelta(join(directory, 'nowhere'), 'lun0')).resolves.toEqual(none)
  })

  it('are those of the newest epoch that has a map; the others are left over', async () => {
    touch('lun0-2.map', 'lun0-2.slots', 'lun0-10.map', 'lun0-10.slots', 'lun0-10.map.new', 'lun0-11.slots')
    const found = await listDelta(directory, 'lun0')
    expect([found.epoch, found.epochMax]).toEqual([10, 11])
    expect([...found.leftovers].sort()).toEqual(
      ['lun0-10.map.new', 'lun0-11.slots', 'lun0-2.map', 'lun0-2.slots'].map((name) => join(directory, name))
    )
  })

  it('are not those of another name', async () => {
    touch('lun01-3.map', 'lun0-x-3.map', 'lun0-3.mapx', 'alun0-3.map', 'lun0-.map', 'lun0.map')
    await expect(listDelta(directory, 'lun0')).resolves.toEqual({ epoch: undefined, epochMax: 0, leftovers: [] })
  })
})

describe('removeInSteps', () => {
  it('cuts a large file down step by step before it unlinks it', async () => {
    const path = join(directory, 'old.slots')
    fs.writeFileSync(path, Buffer.alloc(1000, 1))
    const sizes: number[] = []
    const watcher = setInterval(() => sizes.push(fs.existsSync(path) ? fs.statSync(path).size : 0), 0)
    await removeInSteps(path, 1)
    clearInterval(watcher)
    expect(fs.existsSync(path)).toBe(false)
    expect(sizes.some((size) => size > 0 && size < 1000)).toBe(true)
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a))
  })

  it.each([0, 1, 4096, 4097])('removes a file of %d bytes', async (size) => {
    const path = join(directory, 'old.slots')
    fs.writeFileSync(path, Buffer.alloc(size))
    await removeInSteps(path, 4096)
    expect(fs.existsSync(path)).toBe(false)
  })

  it('is content with a file that is gone', async () => {
    await expect(removeInSteps(join(directory, 'nothing'))).resolves.toBeUndefined()
  })
})
