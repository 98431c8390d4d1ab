import { powerShellText as quoted } from '../quote.js'
import { OTHER_SECRET, SECRET, type Share } from './share.js'

/**
 * Lines for Windows PowerShell 5.1, which every Windows since 10 has, in a window that was opened with "Run as
 * administrator". Each line stands for itself, and the first ones may be pasted twice.
 */
export function connectFromWindows({ targetName, host, port, chapUser, mutual }: Share): readonly string[] {
  const portal = `-TargetPortalAddress ${quoted(host)} -TargetPortalPortNumber ${port}`
  const type = mutual ? 'MUTUALCHAP' : 'ONEWAYCHAP'
  const chap =
    chapUser === undefined
      ? ''
      : ` -AuthenticationType ${type} -ChapUsername ${quoted(chapUser)} -ChapSecret ${quoted(SECRET)}`
  return [
    'Set-Service MSiSCSI -StartupType Automatic; Start-Service MSiSCSI',
    // Here the initiator keeps what the target has to prove.
    ...(mutual ? [`Set-IscsiChapSecret -ChapSecret ${quoted(OTHER_SECRET)}`] : []),
    `New-IscsiTargetPortal ${portal}${chap}; ` +
      `Connect-IscsiTarget -NodeAddress ${quoted(targetName)} ${portal}${chap} -IsPersistent $false`,
    `${disksOf(targetName)} | Where-Object IsOffline | Set-Disk -IsOffline $false`
  ]
}

/** Offline first: Windows refuses the logout while a volume is mounted. */
export function disconnectFromWindows({ targetName, host, port }: Share): readonly string[] {
  const portal = `-TargetPortalAddress ${quoted(host)} -TargetPortalPortNumber ${port}`
  return [
    `${disksOf(targetName)} | Set-Disk -IsOffline $true; ` +
      `Disconnect-IscsiTarget -NodeAddress ${quoted(targetName)} -Confirm:$false; ` +
      `Remove-IscsiTargetPortal ${portal} -Confirm:$false`
  ]
}

/** @param remotes - address ranges that may come; empty = the network that the PC is in */
export function openWindowsFirewall(port: number, remotes: readonly string[]): string {
  const from = remotes.length === 0 ? 'LocalSubnet' : remotes.map(quoted).join(',')
  const name = quoted(`Cloud-x TCP ${port}`)
  return `New-NetFirewallRule -DisplayName ${name} -Direction Inbound -Action Allow -Protocol TCP -LocalPort ${port} -RemoteAddress ${from}`
}

function disksOf(targetName: string): string {
  return `Get-IscsiSession | Where-Object TargetNodeAddress -eq ${quoted(targetName)} | Get-Disk`
}
