import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import {
  isProtected,
  layerNumbers,
  layerPaths,
  moveBack,
  moveIn,
  protectLayer,
  removeLayer,
  returnUnpublished
} from '../../../lib/target/generations/layer-files.js'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { writeVolume } from '../../../lib/volume/promises.js'

let root: string
let deltas: string
let layers: string
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cloudx-layers-'))
  deltas = join(root, 'deltas')
  layers = join(root, 'generations', 'uuid')
  fs.mkdirSync(deltas)
})
afterEach(() => fs.rmSync(root, { recursive: true }))

const names = (folder: string) => (fs.existsSync(folder) ? fs.readdirSync(folder).sort() : [])
const from = () => deltaPaths(deltas, 'lun-3', 1)

async function writeDelta(encrypt = false): Promise<void> {
  const base = new MemoryVolume(65536, true)
  await base.open()
  const overlay = new Overlay({
    base,
    delta: {
      directory: deltas,
      name: 'lun-3',
      base: { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 0, size: 65536, mtimeNs: 0n, inode: 0n },
      owner: { target: 't', initiator: 'i', lun: 3, chapUser: '' },
      incarnation: 0,
      encrypt
    }
  })
  await overlay.open()
  await writeVolume(overlay, Buffer.alloc(4096, 1), 0)
  await overlay.close()
}

describe('the files of a layer', () => {
  it('have the key of an encrypted delta with them, on the way in, back and away', async () => {
    await writeDelta(true)
    await moveIn(from(), layers, 12)
    expect([names(deltas), names(layers)]).toEqual([[], ['0012.key', '0012.map', '0012.slots']])
    await moveBack(from(), layers, 12)
    expect([names(deltas), names(layers)]).toEqual([['lun-3-1.key', 'lun-3-1.map', 'lun-3-1.slots'], []])
    await moveIn(from(), layers, 13)
    await removeLayer(layers, 13)
    expect(names(layers)).toEqual([])
  })

  it('come in, are protected, and go', async () => {
    await writeDelta()
    await moveIn(from(), layers, 12)
    expect([names(deltas), names(layers), await layerNumbers(layers)]).toEqual([[], ['0012.map', '0012.slots'], [12]])
    expect(await isProtected(layers, 12)).toBe(false)
    await protectLayer(layers, 12)
    expect(await isProtected(layers, 12)).toBe(true)
    await removeLayer(layers, 12)
    expect([names(layers), await layerNumbers(layers)]).toEqual([[], []])
    await removeLayer(layers, 12)
  })

  it('do not take the place of others', async () => {
    await writeDelta()
    fs.mkdirSync(layers, { recursive: true })
    fs.writeFileSync(layerPaths(layers, 1).map, 'another')
    await expect(moveIn(from(), layers, 1)).rejects.toMatchObject({ code: 'ERR_ISCSI_STATE' })
    expect(names(deltas)).toEqual(['lun-3-1.map', 'lun-3-1.slots'])
    expect(fs.readFileSync(layerPaths(layers, 1).map, 'utf8')).toBe('another')
  })

  // The map moves first: a crash may come behind it, and in the middle of the way back as well.
  it.each<[string, string[]]>([
    ['only the map had moved', ['map']],
    ['both had moved', ['map', 'slots']]
  ])('go back to their owner when %s', async (_when, moved) => {
    await writeDelta()
    fs.mkdirSync(layers, { recursive: true })
    for (const kind of moved) fs.renameSync(join(deltas, `lun-3-1.${kind}`), join(layers, `0007.${kind}`))
    const home = (target: string, initiator: string) => {
      expect([target, initiator]).toEqual(['t', 'i'])
      return deltas
    }
    expect(await returnUnpublished(layers, 7, home)).toBe('i')
    expect([names(deltas), names(layers)]).toEqual([['lun-3-1.map', 'lun-3-1.slots'], []])
    await moveBack(from(), layers, 7)
    expect(names(deltas)).toEqual(['lun-3-1.map', 'lun-3-1.slots'])
  })
})
