import type { System } from '../../lib/cli/host/system.js'

export interface FakeSystem {
  readonly platform: NodeJS.Platform
  readonly environment?: Readonly<Record<string, string>>
  /** Command line, or its beginning → standard output, or an exit code. */
  readonly programs?: Readonly<Record<string, string | number>>
  readonly files?: Readonly<Record<string, string>>
  readonly folders?: Readonly<Record<string, readonly string[]>>
  readonly interfaces?: Readonly<Record<string, readonly object[]>>
  readonly routes?: Readonly<Partial<Record<4 | 6, string>>>
  readonly space?: { readonly freeBytes: number; readonly sizeBytes: number }
  readonly now?: string
}

/** A PC that says what its spec has recorded, and nothing else. */
export function fakeSystem(pc: FakeSystem): System {
  return {
    platform: pc.platform,
    environment: pc.environment ?? {},
    now: () => new Date(pc.now ?? '2026-11-23T00:00:00Z'),
    run: (program, args) => {
      const line = [program, ...args].join(' ')
      const key = Object.keys(pc.programs ?? {}).find((start) => line.startsWith(start))
      const said = key === undefined ? undefined : pc.programs![key]
      if (said === undefined) return Promise.resolve(undefined)
      return Promise.resolve(typeof said === 'number' ? { code: said, output: '' } : { code: 0, output: said })
    },
    read: (path) => Promise.resolve(pc.files?.[path]),
    list: (path) => Promise.resolve(pc.folders?.[path] ?? []),
    interfaces: () => (pc.interfaces ?? {}) as ReturnType<System['interfaces']>,
    routeAddress: (family) => Promise.resolve(pc.routes?.[family]),
    space: () => Promise.resolve(pc.space)
  }
}

/** An entry of os.networkInterfaces(). */
export function ipv4(address: string, mac = '3c:7c:3f:00:00:01') {
  return {
    address,
    family: 'IPv4',
    mac,
    internal: address.startsWith('127.'),
    netmask: '255.255.255.0',
    cidr: `${address}/24`
  }
}
export function ipv6(address: string, mac = '3c:7c:3f:00:00:01') {
  return { address, family: 'IPv6', mac, internal: address === '::1', netmask: '', cidr: `${address}/64`, scopeid: 0 }
}
