import { placeOf, type Place } from '../../host/place.js'
import { wordFor } from '../../quote.js'
import type { BannerText } from '../../text/text.js'
import { commandFor, ok, problem, unknown, type Check } from '../check.js'

export const stateFileSystem: Check = {
  name: 'state-file-system',
  async examine(situation) {
    const { system, text, places, statePath } = situation
    const place = await placeOf(system, statePath)
    if (place.kind === 'local') return ok(text.placeGood(place.name))
    const word = wordFor(system.platform)(statePath)
    if (place.kind === 'unknown') {
      const show = { win32: 'Get-Volume', darwin: 'mount', linux: `df -T ${word}` }
      return unknown(text.placeUnknown(statePath), commandFor(situation, show))
    }
    const other = commandFor(situation, {
      win32: 'C:\\ProgramData\\cloudx',
      darwin: '"$HOME/cloudx-state"',
      linux: '"$HOME/cloudx-state"'
    })
    return problem(sentence(place, places, statePath), `cloudx share.img --state-dir ${other}`)
  }
}

function sentence({ kind, name }: Place, text: BannerText, path: string): string {
  if (kind === 'fat') return text.fat(text.state, path, name)
  if (kind === 'network') return text.network(text.state, path, name)
  return kind === 'synced' ? text.synced(text.state, path, name) : text.memory(text.state, path)
}
