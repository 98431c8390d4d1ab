import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TargetError } from './errors.js'

/** What the state directory of an image is called when no other is named: the image's own name, and this behind it. */
export const STATE_ENDING = '.cloudx'

/** The state directory of an image when no other is named. */
export function stateBeside(imagePath: string): string {
  return `${imagePath}${STATE_ENDING}`
}

/**
 * Where an image that is there has its state, as it is found without its server: beside the name that was given to it, or
 * beside the file to which a link of this name leads. Without links.
 */
export async function statesBeside(imagePath: string): Promise<string[]> {
  const found = new Set<string>()
  for (const path of [imagePath, await realpath(imagePath)]) {
    const state = await realpath(stateBeside(path)).catch(() => undefined)
    if (state !== undefined) found.add(state)
  }
  return [...found]
}

/**
 * @param named - by whoever knows where it is; without it the one beside the image
 * @returns without links; undefined when none was named and there is none beside the image
 * @throws TargetError ERR_ISCSI_STATE when the named one is none, or there are two
 */
export async function findState(imagePath: string, named: string | undefined): Promise<string | undefined> {
  if (named !== undefined) {
    if (await stat(join(named, 'state.json')).catch(() => undefined)) return realpath(named)
    throw new TargetError('ERR_ISCSI_STATE', `${named} is no state directory of a server`)
  }
  const found = await statesBeside(imagePath)
  if (found.length < 2) return found[0]
  throw new TargetError('ERR_ISCSI_STATE', `there are ${found.join(' and ')}: choose one with --state-dir`)
}
