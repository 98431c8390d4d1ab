/**
 * What Windows PowerShell 5.1 takes of a line, as far as it can be told without one: the grammar that 5.1 lacks (the
 * operators && || ?? ?: came with 7.0), and parameters that the cmdlet has (learn.microsoft.com, modules iSCSI,
 * Storage, NetSecurity, ScheduledTasks, NetConnection, Defender, Microsoft.PowerShell.Core and .Management).
 */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  'Set-Service': ['Name', 'StartupType', 'Status', 'DisplayName', 'Description'],
  'Start-Service': ['Name', 'DisplayName', 'InputObject', 'PassThru'],
  'Set-IscsiChapSecret': ['ChapSecret'],
  'New-IscsiTargetPortal': [
    ...['TargetPortalAddress', 'TargetPortalPortNumber', 'InitiatorPortalAddress', 'InitiatorInstanceName'],
    ...['AuthenticationType', 'ChapUsername', 'ChapSecret', 'IsDataDigest', 'IsHeaderDigest']
  ],
  'Connect-IscsiTarget': [
    ...['NodeAddress', 'TargetPortalAddress', 'TargetPortalPortNumber', 'InitiatorPortalAddress', 'IsPersistent'],
    ...['AuthenticationType', 'ChapUsername', 'ChapSecret', 'IsMultipathEnabled', 'IsDataDigest', 'IsHeaderDigest'],
    ...['InitiatorInstanceName', 'ReportToPnP']
  ],
  'Disconnect-IscsiTarget': ['NodeAddress', 'SessionIdentifier', 'Confirm', 'WhatIf', 'PassThru'],
  'Remove-IscsiTargetPortal': [
    ...['TargetPortalAddress', 'TargetPortalPortNumber', 'InitiatorPortalAddress', 'InitiatorInstanceName'],
    ...['Confirm', 'WhatIf', 'PassThru']
  ],
  'Get-IscsiSession': ['SessionIdentifier', 'TargetSideIdentifier', 'NumberOfConnections', 'IscsiTarget', 'Disk'],
  'Where-Object': ['Property', 'Value', 'eq', 'ne', 'FilterScript'],
  'ForEach-Object': ['Process', 'MemberName'],
  'Get-Disk': ['Number', 'UniqueId', 'FriendlyName', 'SerialNumber', 'Path', 'IscsiSession'],
  'Set-Disk': ['Number', 'UniqueId', 'Path', 'InputObject', 'IsOffline', 'IsReadOnly', 'PartitionStyle'],
  'New-NetFirewallRule': [
    ...['DisplayName', 'Direction', 'Action', 'Protocol', 'LocalPort', 'RemoteAddress', 'Profile', 'Program', 'Enabled']
  ],
  'Register-ScheduledTask': [
    ...['TaskName', 'TaskPath', 'Action', 'Trigger', 'Settings', 'User', 'Password', 'RunLevel', 'Description', 'Force']
  ],
  'New-ScheduledTaskTrigger': ['AtStartup', 'AtLogOn', 'Once', 'Daily', 'Weekly', 'At', 'RandomDelay', 'User'],
  'New-ScheduledTaskAction': ['Execute', 'Argument', 'WorkingDirectory', 'Id'],
  'New-ScheduledTaskSettingsSet': [
    ...['ExecutionTimeLimit', 'AllowStartIfOnBatteries', 'DontStopIfGoingOnBatteries', 'RestartCount'],
    ...['RestartInterval', 'MultipleInstances', 'Priority', 'Hidden', 'StartWhenAvailable']
  ],
  'Set-NetConnectionProfile': ['InterfaceAlias', 'InterfaceIndex', 'Name', 'NetworkCategory'],
  'Get-NetConnectionProfile': ['InterfaceAlias', 'InterfaceIndex', 'Name', 'NetworkCategory'],
  'Add-MpPreference': ['ExclusionPath', 'ExclusionExtension', 'ExclusionProcess', 'Force'],
  'Get-NetFirewallPortFilter': ['Protocol', 'All', 'AssociatedNetFirewallRule', 'PolicyStore'],
  'Get-NetFirewallApplicationFilter': ['Program', 'All', 'AssociatedNetFirewallRule', 'PolicyStore'],
  'Get-NetFirewallRule': ['DisplayName', 'Name', 'All', 'AssociatedNetFirewallPortFilter'],
  'Get-NetFirewallProfile': ['Name', 'Profile', 'All', 'PolicyStore'],
  'Get-NetTCPConnection': ['LocalAddress', 'LocalPort', 'State', 'RemotePort', 'OwningProcess'],
  'Get-PSDrive': ['Name', 'PSProvider', 'Scope'],
  'Get-Process': ['Id', 'Name', 'IncludeUserName'],
  'Set-NetIPInterface': ['InterfaceAlias', 'AddressFamily', 'Dhcp'],
  'Get-NetRoute': ['DestinationPrefix', 'InterfaceAlias', 'AddressFamily'],
  'Get-DnsClientServerAddress': ['InterfaceAlias', 'AddressFamily'],
  'Set-DnsClientServerAddress': ['InterfaceAlias', 'ServerAddresses', 'ResetServerAddresses'],
  'Test-NetConnection': ['ComputerName', 'Port', 'InformationLevel']
}

/** What is wrong with a line; empty when nothing was found. */
export function problemsOfPowerShell(line: string): string[] {
  // Quoted texts hold anything; single quotes are doubled inside.
  const bare = line.replace(/'(?:[^']|'')*'/g, "'text'").replace(/"[^"`]*"/g, '"text"')
  const problems = /&&|\|\||\?\?|\s\?\s|`|'[^']*$/.test(bare.replaceAll("'text'", ''))
    ? ['an operator of PowerShell 7']
    : []
  if (/[\r\n]/.test(line)) problems.push('more than one line')
  for (const command of bare.split(/[;|(){}=]|\bif\b/)) {
    const [, cmdlet, rest] = /^\s*([A-Z][A-Za-z]+-[A-Za-z]+)\b(.*)$/.exec(command) ?? []
    if (cmdlet === undefined) continue
    const known = PARAMETERS[cmdlet]
    if (known === undefined) problems.push(`no cmdlet ${cmdlet}`)
    for (const [, name] of rest!.matchAll(/(?<=\s)-([A-Za-z]+)/g)) {
      if (known && name !== 'ErrorAction' && !known.includes(name!)) problems.push(`${cmdlet} has no -${name}`)
    }
  }
  return problems
}
