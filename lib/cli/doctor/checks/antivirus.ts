import { powerShell } from '../../host/system.js'
import { powerShellText } from '../../quote.js'
import { ok, unknown, type Check } from '../check.js'

const QUESTION =
  'Get-CimInstance -Namespace root/SecurityCenter2 -ClassName AntivirusProduct | ForEach-Object { $_.displayName }'

/** Exceptions can be read by administrators alone, so this is a hint and never a fault. */
export const antivirus: Check = {
  name: 'antivirus',
  async examine({ system, text, paths }) {
    if (system.platform !== 'win32') return ok(text.antivirusNone)
    const command = `Add-MpPreference -ExclusionPath ${paths.map(powerShellText).join(',')}`
    const output = await powerShell(system, QUESTION)
    if (output === undefined) return unknown(text.antivirusUnknown, command)
    const names = [...new Set(output.split(/\r?\n/).map((line) => line.trim()))].filter((name) => name !== '')
    return names.length === 0 ? ok(text.antivirusNone) : unknown(text.antivirusHint(names.join(', ')), command)
  }
}
