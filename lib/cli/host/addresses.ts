import type { networkInterfaces } from 'node:os'
import { isNearAddress, plainAddress } from '../../target/addresses.js'
import type { System } from './system.js'

/** An address of this PC that others can reach. */
export interface OwnAddress {
  readonly address: string
  readonly family: 4 | 6
  readonly interfaceName: string
  /** Of a virtual machine, a container or a tunnel: other PCs are mostly not there. */
  readonly virtual: boolean
}

/** Names of adapters that no cable or radio belongs to. */
const VIRTUAL_NAMES: readonly RegExp[] = [
  // Linux: containers, virtual machines, tunnels.
  /^(docker|podman|br-|veth|virbr|vnet|lxc|lxd|cni|flannel|cali|kube|dummy|ifb|tun|tap|wg|tailscale|zt|nordlynx)/i,
  // VirtualBox and VMware, on every system.
  /^(vboxnet|vmnet)|VirtualBox|VMware/i,
  // macOS: tunnels, Wi-Fi direct, networks of virtual machines.
  /^(utun|awdl|llw|bridge\d|vmenet|anpi|ipsec)/,
  // Windows: WSL, Hyper-V, VPN, Wi-Fi direct, Bluetooth.
  /^vEthernet|WSL|Hyper-V|Tailscale|ZeroTier|WireGuard|OpenVPN|TAP-|Npcap|Bluetooth|^(Local Area Connection|로컬 영역 연결)\* /i
]
/** VirtualBox's and VMware's adapters of the host, whatever Windows calls them ("Ethernet 3"). */
const VIRTUAL_MACS = /^(0a:00:27|00:50:56:c0)/i
/** Hyper-V's switch on a real adapter takes that adapter's place; only these two are networks of their own. */
const HYPER_V_SWITCH = /^vEthernet (?!\((Default Switch|WSL))/i

/** The addresses of this PC, the one first that others will use first. */
export async function ownAddresses(system: System): Promise<readonly OwnAddress[]> {
  const routes = await Promise.all([system.routeAddress(4), system.routeAddress(6)])
  return rankAddresses(system.interfaces(), routes)
}

/**
 * Real adapters before virtual ones, those with the default route before others, IPv4 before IPv6 because people can
 * read it out, link-local ones last.
 * @param routes - the addresses that the system chooses for far destinations
 */
export function rankAddresses(
  interfaces: ReturnType<typeof networkInterfaces>,
  routes: readonly (string | undefined)[]
): readonly OwnAddress[] {
  const ranked: { readonly own: OwnAddress; readonly rank: number }[] = []
  for (const [interfaceName, entries] of Object.entries(interfaces)) {
    const leads = entries?.some(({ address }) => routes.includes(plainAddress(address))) ?? false
    for (const { address, family, mac, internal } of entries ?? []) {
      // A link-local IPv6 address means nothing without the zone, which is another one on each PC.
      if (internal || (family === 'IPv6' && isLinkLocal(address))) continue
      const virtual = isVirtual(interfaceName, mac, leads)
      const own = { address, family: family === 'IPv6' ? 6 : 4, interfaceName, virtual } as const
      ranked.push({ own, rank: rankOf(own, leads) })
    }
  }
  return ranked.toSorted((one, other) => one.rank - other.rank).map(({ own }) => own)
}

function rankOf({ address, family, virtual }: OwnAddress, leads: boolean): number {
  const faults = [isLinkLocal(address), virtual, !leads, family === 6, !isNearAddress(address)]
  return faults.reduce((rank, fault) => rank * 2 + (fault ? 1 : 0), 0)
}

function isVirtual(name: string, mac: string, leads: boolean): boolean {
  if (leads && HYPER_V_SWITCH.test(name)) return false
  return VIRTUAL_MACS.test(mac) || VIRTUAL_NAMES.some((pattern) => pattern.test(name))
}

function isLinkLocal(address: string): boolean {
  return /^(169\.254\.|fe[89ab])/i.test(address)
}
