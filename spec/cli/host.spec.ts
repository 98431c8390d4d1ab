import { describe, expect, it } from '@jest/globals'
import { tmpdir } from 'node:os'
import { ownAddresses } from '../../lib/cli/host/addresses.js'
import { containerAddress } from '../../lib/cli/host/container.js'
import { originOf } from '../../lib/cli/host/lease.js'
import { placeOf, type Place } from '../../lib/cli/host/place.js'
import { powerShell, thisSystem } from '../../lib/cli/host/system.js'
import { fakeSystem, ipv4, ipv6, type FakeSystem } from '../support/fake-system.js'

async function order(interfaces: FakeSystem['interfaces'], routes: FakeSystem['routes'] = {}) {
  const own = await ownAddresses(fakeSystem({ platform: 'linux', interfaces: interfaces!, routes }))
  return own.map(({ address }) => address)
}

describe('ownAddresses', () => {
  it('puts the one with the default route first, IPv4 before IPv6, and leaves loopback out', async () => {
    const interfaces = {
      lo: [ipv4('127.0.0.1'), ipv6('::1')],
      eth1: [ipv4('192.168.7.2')],
      eth0: [ipv6('fd00::2'), ipv4('192.168.0.5'), ipv6('fe80::2')]
    }
    expect(await order(interfaces, { 4: '192.168.0.5' })).toEqual(['192.168.0.5', 'fd00::2', '192.168.7.2'])
  })

  it.each([
    'docker0',
    'br-1f2e3d4c5b6a',
    'veth12ab',
    'virbr0',
    'vboxnet0',
    'vmnet8',
    'tailscale0',
    'wg0',
    'utun3',
    'vEthernet (WSL)',
    'vEthernet (Default Switch)',
    'vEthernet (WSL (Hyper-V firewall))',
    'VirtualBox Host-Only Network',
    'VMware Network Adapter VMnet8',
    'Tailscale',
    '로컬 영역 연결* 1',
    'Bluetooth 네트워크 연결'
  ])('puts %s last, even when a tunnel has taken the default route', async (name) => {
    const interfaces = { [name]: [ipv4('10.9.9.9')], 이더넷: [ipv4('192.168.0.5')] }
    expect(await order(interfaces, { 4: '10.9.9.9' })).toEqual(['192.168.0.5', '10.9.9.9'])
  })

  it('knows the adapters of VirtualBox and VMware by their MAC, because Windows calls them Ethernet 3', async () => {
    for (const mac of ['0a:00:27:00:00:05', '00:50:56:c0:00:08']) {
      expect(await order({ 'Ethernet 3': [ipv4('192.168.56.1', mac)], 'Wi-Fi': [ipv4('192.168.0.5')] })).toEqual([
        '192.168.0.5',
        '192.168.56.1'
      ])
    }
  })

  it('takes a switch of Hyper-V for the real adapter that it replaces', async () => {
    const interfaces = { 'Ethernet 2': [ipv4('10.1.1.1')], 'vEthernet (External)': [ipv4('192.168.0.5')] }
    expect(await order(interfaces, { 4: '192.168.0.5' })).toEqual(['192.168.0.5', '10.1.1.1'])
  })

  it('puts an address that nobody gave last of all', async () => {
    expect(await order({ eth0: [ipv4('169.254.3.4')], docker0: [ipv4('172.17.0.1')] })).toEqual([
      '172.17.0.1',
      '169.254.3.4'
    ])
  })
})

describe('originOf', () => {
  // iproute2 6.1: `ip -j address show dev …`, shortened.
  const ip = (dynamic: boolean) =>
    JSON.stringify([
      {
        ifname: 'eth0',
        addr_info: [{ family: 'inet', local: '192.168.0.5', prefixlen: 24, ...(dynamic && { dynamic }) }]
      }
    ])
  const registry = (lines: string) =>
    `\r\nHKEY_LOCAL_MACHINE\\SYSTEM\\…\\Interfaces\\{11111111}\r\n    EnableDHCP    REG_DWORD    0x0\r\n\r\n` +
    `HKEY_LOCAL_MACHINE\\SYSTEM\\…\\Interfaces\\{22222222}\r\n${lines}\r\n`

  it.each<[string, FakeSystem, 'dhcp' | 'fixed' | undefined]>([
    ['Linux', { platform: 'linux', programs: { 'ip -j address show dev eth0': ip(true) } }, 'dhcp'],
    ['Linux', { platform: 'linux', programs: { 'ip -j address': ip(false) } }, 'fixed'],
    ['Linux without ip', { platform: 'linux' }, undefined],
    ['Linux with nonsense', { platform: 'linux', programs: { ip: '{' } }, undefined],
    [
      'Linux without ip, with dhclient',
      {
        platform: 'linux',
        folders: { '/var/lib/dhcp': ['dhclient.leases'] },
        files: { '/var/lib/dhcp/dhclient.leases': 'lease {\n  fixed-address 192.168.0.5;\n}' }
      },
      'dhcp'
    ],
    [
      'Windows',
      {
        platform: 'win32',
        programs: {
          'reg.exe query': registry('    EnableDHCP    REG_DWORD    0x1\r\n    DhcpIPAddress    REG_SZ    192.168.0.5')
        }
      },
      'dhcp'
    ],
    [
      'Windows',
      {
        platform: 'win32',
        programs: {
          'reg.exe query': registry(
            '    EnableDHCP    REG_DWORD    0x0\r\n    IPAddress    REG_MULTI_SZ    10.0.0.1\\0192.168.0.5'
          )
        }
      },
      'fixed'
    ],
    [
      // Windows keeps the last lease of an adapter that was set by hand later.
      'Windows with an old lease',
      {
        platform: 'win32',
        programs: {
          'reg.exe query': registry(
            '    EnableDHCP    REG_DWORD    0x0\r\n    DhcpIPAddress    REG_SZ    192.168.0.5\r\n    IPAddress    REG_MULTI_SZ    192.168.0.5'
          )
        }
      },
      'fixed'
    ],
    ['Windows', { platform: 'win32', programs: { 'reg.exe': 1 } }, undefined],
    [
      'macOS',
      { platform: 'darwin', programs: { 'ipconfig getpacket eth0': 'op = BOOTREPLY\nyiaddr = 192.168.0.5\n' } },
      'dhcp'
    ],
    ['macOS', { platform: 'darwin', programs: { 'ipconfig getpacket': 1 } }, 'fixed'],
    ['another system', { platform: 'aix' }, undefined]
  ])('on %s', async (_what, pc, origin) => {
    expect(await originOf(fakeSystem(pc), 'eth0', '192.168.0.5')).toBe(origin)
  })
})

describe('placeOf', () => {
  const mountinfo = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '30 22 8:17 / /media/usb\\040stick rw shared:2 - vfat /dev/sdb1 rw',
    '31 22 0:40 / /mnt/nas rw shared:3 master:1 - cifs //nas/share rw',
    '32 22 0:41 / /mnt/x rw - exfat /dev/sdc1 rw',
    '33 22 0:42 / /mnt/x rw - xfs /dev/sdd1 rw',
    '34 22 0:43 / /run rw - tmpfs tmpfs rw',
    '35 22 8:33 / /media/fuse rw - fuseblk /dev/sdc1 rw',
    '36 22 8:34 / /media/ntfs rw - fuseblk /dev/sdc2 rw',
    '37 22 8:35 / /media/bare rw - fuseblk /dev/sdc3 rw'
  ].join('\n')
  const linux: FakeSystem = {
    platform: 'linux',
    files: {
      '/proc/self/mountinfo': mountinfo,
      '/run/udev/data/b8:33': 'S:disk/by-uuid/1234-5678\nE:ID_FS_TYPE=exfat\nE:ID_FS_USAGE=filesystem\n',
      '/run/udev/data/b8:34': 'E:ID_FS_TYPE=ntfs\n'
    }
  }
  const drive = (type: string, format: string): FakeSystem => ({
    platform: 'win32',
    programs: { 'powershell.exe': `${type}\r\n${format}\r\n` }
  })
  const mac: FakeSystem = {
    platform: 'darwin',
    programs: {
      mount:
        '/dev/disk3s1s1 on / (apfs, sealed, local)\n//kim@nas/share on /Volumes/share (smbfs, nodev)\n/dev/disk4s1 on /Volumes/USB DISK (msdos, local)\n'
    }
  }

  it.each<[string, FakeSystem, Place['kind'], string]>([
    ['/home/kim/share.img', linux, 'local', 'ext4'],
    ['/media/usb stick/share.img', linux, 'fat', 'vfat'],
    ['/media/usb sticks/share.img', linux, 'local', 'ext4'],
    ['/mnt/nas/a.img', linux, 'network', 'cifs'],
    ['/mnt/x/a.img', linux, 'local', 'xfs'],
    ['/run/a.img', linux, 'memory', 'tmpfs'],
    ['/media/fuse/a.img', linux, 'fat', 'exfat'],
    ['/media/ntfs/a.img', linux, 'local', 'ntfs'],
    ['/media/bare/a.img', linux, 'local', 'fuseblk'],
    ['/home/kim/Dropbox/a.img', linux, 'synced', 'Dropbox'],
    ['/home/kim/Nextcloud/a/b.img', linux, 'synced', 'Nextcloud'],
    [
      '/home/kim/papers/a/b.img',
      { ...linux, folders: { '/home/kim/papers': ['.stfolder', 'a'] } },
      'synced',
      'Syncthing'
    ],
    ['/a.img', { platform: 'linux' }, 'unknown', ''],
    ['C:\\Users\\kim\\OneDrive - 회사\\a.img', drive('Fixed', 'NTFS'), 'synced', 'OneDrive'],
    ['C:\\Users\\kim\\OneDrive\\문서\\a.img', drive('Fixed', 'NTFS'), 'synced', 'OneDrive'],
    [
      'D:\\클라우드\\a.img',
      { ...drive('Fixed', 'NTFS'), environment: { OneDrive: 'd:\\클라우드' } },
      'synced',
      'OneDrive'
    ],
    ['G:\\내 드라이브\\a.img', drive('Fixed', 'FAT32'), 'synced', 'Google Drive'],
    ['C:\\Users\\kim\\네이버 MYBOX\\a.img', drive('Fixed', 'NTFS'), 'synced', 'Naver MYBOX'],
    ['C:\\Users\\kim\\iCloudDrive\\a.img', drive('Fixed', 'NTFS'), 'synced', 'iCloud'],
    ['D:\\a.img', drive('Fixed', 'NTFS'), 'local', 'NTFS'],
    ['E:\\a.img', drive('Removable', 'FAT32'), 'fat', 'FAT32'],
    ['E:\\a.img', drive('Removable', 'exFAT'), 'fat', 'exFAT'],
    ['z:\\a.img', drive('Network', 'NTFS'), 'network', 'Z:'],
    ['\\\\nas\\share\\a.img', drive('Fixed', 'NTFS'), 'network', '\\\\nas\\share\\'],
    ['D:\\a.img', { platform: 'win32' }, 'unknown', ''],
    ['/Users/kim/a.img', mac, 'local', 'apfs'],
    ['/Volumes/share/a.img', mac, 'network', 'smbfs'],
    ['/Volumes/USB DISK/a.img', mac, 'fat', 'msdos'],
    ['/Users/kim/Library/Mobile Documents/com~apple~CloudDocs/a.img', mac, 'synced', 'iCloud']
  ])('of %s', async (path, pc, kind, name) => {
    expect(await placeOf(fakeSystem(pc), path)).toEqual({ kind, name })
  })
})

describe('thisSystem', () => {
  it('runs programs, and says so when there is none', async () => {
    expect(await thisSystem.run(process.execPath, ['-p', '1+1'])).toEqual({ code: 0, output: '2\n' })
    expect(await thisSystem.run(process.execPath, ['-e', 'process.exit(3)'])).toEqual({ code: 3, output: '' })
    expect(await thisSystem.run('/nonexistent/program', [])).toBeUndefined()
  })

  it('reads files and folders, and what is free', async () => {
    expect(await thisSystem.read('package.json')).toContain('"cloudx"')
    expect(await thisSystem.read('/nonexistent/file')).toBeUndefined()
    expect(await thisSystem.list('lib')).toContain('cli')
    expect(await thisSystem.list('/nonexistent')).toEqual([])
    const { freeBytes, sizeBytes } = (await thisSystem.space(tmpdir()))!
    expect(sizeBytes).toBeGreaterThan(freeBytes)
    expect(await thisSystem.space('/nonexistent')).toBeUndefined()
  })

  it('knows which of its addresses leads out, if any does', async () => {
    const address = await thisSystem.routeAddress(4)
    const own = Object.values(thisSystem.interfaces()).flatMap((list) => list!.map((entry) => entry.address))
    expect([undefined, ...own]).toContain(address)
  })
})

describe('powerShell', () => {
  it('answers what a line printed, or nothing when it failed', async () => {
    const said = (programs: Record<string, string | number>) =>
      powerShell(fakeSystem({ platform: 'win32', programs }), 'x')
    expect(await said({ 'powershell.exe -NoProfile -NonInteractive -Command x': 'yes' })).toBe('yes')
    expect(await said({ 'powershell.exe': 1 })).toBeUndefined()
    expect(await said({})).toBeUndefined()
  })
})

describe('containerAddress', () => {
  const NET = '/sys/class/net/eth0'
  /** What the kernel says of one end of a virtual cable, and of other adapters. */
  const cable = {
    [`${NET}/ifindex`]: '18\n',
    [`${NET}/iflink`]: '19\n',
    [`${NET}/uevent`]: 'INTERFACE=eth0\nIFINDEX=18\n'
  }
  const card = { ...cable, [`${NET}/iflink`]: '18\n' }
  const macvlan = { ...cable, [`${NET}/uevent`]: 'DEVTYPE=macvlan\nINTERFACE=eth0\nIFINDEX=18\n' }
  const docker = { '/.dockerenv': '' }
  const podman = { '/run/.containerenv': 'engine="podman-4.3.1"\n' }
  const ADDRESS = '172.17.0.2'
  const pc = { platform: 'linux', interfaces: { lo: [ipv4('127.0.0.1')], eth0: [ipv4(ADDRESS)] } } as const

  it.each<[string, Partial<FakeSystem>, string | undefined]>([
    ['Docker', { files: { ...docker, ...cable } }, ADDRESS],
    ['Podman', { files: { ...podman, ...cable } }, ADDRESS],
    ['LXC', { files: cable, environment: { container: 'lxc' } }, ADDRESS],
    ['Kubernetes', { files: cable, environment: { KUBERNETES_SERVICE_HOST: '10.96.0.1' } }, ADDRESS],
    ['a container with the network of its host', { files: { ...docker, ...card } }, undefined],
    ['a container with an address in the network of its host', { files: { ...docker, ...macvlan } }, undefined],
    ['a container without a network', { files: { ...docker, ...cable }, interfaces: {} }, undefined],
    ['a container that hides what its adapters are', { files: docker }, undefined],
    ['a PC without containers', { files: cable }, undefined],
    ['another system', { files: { ...docker, ...cable }, platform: 'win32' }, undefined]
  ])('finds it in %s, if it is of use to nobody else', async (_where, said, address) => {
    expect(await containerAddress(fakeSystem({ ...pc, ...said }))).toBe(address)
  })
})
