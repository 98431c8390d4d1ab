import { powerShell } from '../../host/system.js'
import { powerShellText } from '../../quote.js'
import { ok, problem, unknown, type Check } from '../check.js'

/** A name and a word for each network; the words of the enumeration are English on every Windows. */
const QUESTION = "Get-NetConnectionProfile | ForEach-Object { [string]$_.NetworkCategory + ' ' + $_.InterfaceAlias }"

export const networkProfile: Check = {
  name: 'network-profile',
  async examine({ system, text, address }) {
    if (system.platform !== 'win32') return ok(text.profileNone)
    const lines = (await powerShell(system, QUESTION))?.split(/\r?\n/).filter((line) => line !== '')
    if (lines === undefined || lines.length === 0) return unknown(text.profileUnknown, 'Get-NetConnectionProfile')
    const networks = lines.map((line) => ({ category: line.split(' ')[0]!, name: line.replace(/^\S+ /, '') }))
    const ours = networks.find(({ name }) => name === address?.interfaceName) ?? networks[0]!
    if (ours.category !== 'Public') return ok(text.profilePrivate)
    const command = `Set-NetConnectionProfile -InterfaceAlias ${powerShellText(ours.name)} -NetworkCategory Private`
    return problem(text.profilePublic(ours.name), command)
  }
}
