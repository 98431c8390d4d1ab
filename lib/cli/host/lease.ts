import type { System } from './system.js'

/** Where an address comes from; `undefined` = it could not be found out. */
export type Origin = 'dhcp' | 'fixed' | undefined

/** Whether the address of an interface was set by hand, or lent by a router that may lend another one tomorrow. */
export async function originOf(system: System, interfaceName: string, address: string): Promise<Origin> {
  return ORIGINS[system.platform]?.(system, interfaceName, address)
}

type Question = (system: System, interfaceName: string, address: string) => Promise<Origin>

const ORIGINS: Readonly<Partial<Record<NodeJS.Platform, Question>>> = {
  linux: onLinux,
  win32: onWindows,
  darwin: onMacOs
}

interface LinkAddresses {
  readonly addr_info?: readonly { readonly local?: string; readonly dynamic?: boolean }[]
}

/** The kernel counts the life of a lent address down and calls it dynamic; without `ip` a lease file tells. */
async function onLinux(system: System, interfaceName: string, address: string): Promise<Origin> {
  const outcome = await system.run('ip', ['-j', 'address', 'show', 'dev', interfaceName])
  const links = outcome?.code === 0 ? parse<readonly LinkAddresses[]>(outcome.output) : undefined
  const entry = links?.flatMap((link) => link.addr_info ?? []).find(({ local }) => local === address)
  if (entry !== undefined) return entry.dynamic === true ? 'dhcp' : 'fixed'
  for (const folder of ['/run/systemd/netif/leases', '/var/lib/dhcp', '/var/lib/NetworkManager']) {
    for (const name of await system.list(folder)) {
      if ((await system.read(`${folder}/${name}`))?.includes(address)) return 'dhcp'
    }
  }
  return undefined
}

const WINDOWS_INTERFACES = String.raw`HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces`

/** The registry, because it answers at once and in no human language. */
async function onWindows(system: System, _interfaceName: string, address: string): Promise<Origin> {
  const outcome = await system.run('reg.exe', ['query', WINDOWS_INTERFACES, '/s'])
  if (outcome?.code !== 0) return undefined
  for (const section of outcome.output.split(/^HKEY_/m)) {
    const value = (name: string) => new RegExp(String.raw`^\s+${name}\s+REG_\w+\s+(.*?)\s*$`, 'm').exec(section)?.[1]
    const lent = value('EnableDHCP') === '0x1'
    if (lent && value('DhcpIPAddress') === address) return 'dhcp'
    // REG_MULTI_SZ: several addresses with a written \0 between them.
    if (!lent && value('IPAddress')?.split('\\0').includes(address)) return 'fixed'
  }
  return undefined
}

async function onMacOs(system: System, interfaceName: string): Promise<Origin> {
  const outcome = await system.run('ipconfig', ['getpacket', interfaceName])
  if (outcome === undefined) return undefined
  return outcome.code === 0 && /^yiaddr = /m.test(outcome.output) ? 'dhcp' : 'fixed'
}

function parse<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
