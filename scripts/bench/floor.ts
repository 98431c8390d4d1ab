import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeImage } from './image.js'
import type { Timing } from './measure.js'
import { compare, type Rival } from './rivals.js'
import { IMAGE_BYTES } from './rows.js'
import { startCloudx, startMinimal, startTgtd } from './servers.js'

/** How much of what a read costs is Node's and the kernel's: tgtd, our server and {@link startMinimal}, by turns. */
export async function runFloor(root: string, folder: string, timing: Timing): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const images = [join(folder, 'floor.img'), join(folder, 'floor-tgtd.img')] as const
  for (const image of images) makeImage(image, IMAGE_BYTES)
  const rivals: Rival[] = []
  try {
    rivals.push({ title: 'tgtd', server: await startTgtd(folder, images[1], PORT) })
    rivals.push({ title: 'cloudx', server: await startCloudx(root, folder, images[0], PORT + 1) })
    rivals.push({ title: 'minimal', server: await startMinimal(folder, images[0], PORT + 2) })
    for (const id of IDS) await compare(id, rivals, timing)
  } finally {
    for (const { server } of rivals) await server.stop()
  }
}

const IDS = ['read-4k', 'read-4k-d1', 'read-4k-16']
const PORT = 14310
