import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** The address without IPv4-mapped prefix (`::ffff:192.0.2.1` → `192.0.2.1`) and without zone (`fe80::1%eth0`). */
export function plainAddress(address: string): string {
  const plain = address.replace(/%.*$/, '')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  return mapped ? mapped[1]! : plain
}

/** `host:port`, an IPv6 address in brackets (RFC 7143 §13.8). */
export function formatAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * True when a client with this address runs on this PC: loopback, or one of the PC's own addresses. The interfaces are
 * asked each time, because an office PC changes its address while the server runs.
 */
export function isLocalAddress(address: string, interfaces = networkInterfaces()): boolean {
  const plain = plainAddress(address)
  if (isLoopback(plain)) return true
  return Object.values(interfaces).some((list) => list?.some((entry) => plainAddress(entry.address) === plain) ?? false)
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && LOOPBACK.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/**
 * True for loopback, private and link-local addresses (RFC 1918, RFC 3927, RFC 4193, RFC 4291 §2.5.6): those that no
 * router of the Internet passes on, so that whoever has one is in this network. 100.64.0.0/10 (RFC 6598) is none of
 * them, because behind a provider's address translation strangers share it.
 */
export function isNearAddress(address: string): boolean {
  return NEAR.has(address)
}

/** A set of addresses and CIDR ranges, both families. */
export class AddressSet {
  private readonly list = new BlockList()
  private count = 0

  /** Adds `192.0.2.0/24`, `2001:db8::/32` or one address; false when the text is none of them. */
  add(text: string): boolean {
    const [host, prefix, ...rest] = text.split('/')
    const address = plainAddress(host ?? '')
    const family = isIP(address)
    if (family === 0 || rest.length > 0) return false
    const type = family === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) this.list.addAddress(address, type)
    else if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > (family === 6 ? 128 : 32)) return false
    else this.list.addSubnet(address, Number(prefix), type)
    this.count++
    return true
  }

  get size(): number {
    return this.count
  }

  has(address: string): boolean {
    const plain = plainAddress(address)
    const family = isIP(plain)
    return family !== 0 && this.list.check(plain, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** RFC 1918, RFC 1122 §3.2.1.3, RFC 3927; RFC 4193, RFC 4291 §2.5.3 and §2.5.6. */
const NEAR_RANGES = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '127.0.0.0/8',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
  '::1'
]
const NEAR = new AddressSet()
for (const range of NEAR_RANGES) NEAR.add(range)
