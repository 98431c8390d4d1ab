import { minFreeBytes } from '../../../target/space.js'
import { formatSize } from '../../../util/units.js'
import { wordFor } from '../../quote.js'
import { commandFor, ok, problem, unknown, type Check } from '../check.js'

export const freeSpace: Check = {
  name: 'free-space',
  async examine(situation) {
    const { system, text, statePath } = situation
    const space = await system.space(statePath)
    const word = wordFor(system.platform)(statePath)
    if (space === undefined) {
      const show = { win32: 'Get-PSDrive', darwin: `df -h ${word}`, linux: `df -h ${word}` }
      return unknown(text.spaceUnknown, commandFor(situation, show))
    }
    const needed = minFreeBytes(space.sizeBytes)
    if (space.freeBytes > needed) return ok(text.spaceEnough(formatSize(space.freeBytes)))
    const other = commandFor(situation, {
      win32: 'D:\\cloudx-state',
      darwin: '/Volumes/OTHER/state',
      linux: '/OTHER/state'
    })
    return problem(
      text.spaceShort(formatSize(space.freeBytes), formatSize(needed)),
      `cloudx share.img --state-dir ${other}`
    )
  }
}
