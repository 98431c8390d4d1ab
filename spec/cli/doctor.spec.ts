import { describe, expect, it } from '@jest/globals'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { doctorOn } from '../../lib/cli/commands/doctor.js'
import {
  commandFor,
  ok,
  problem,
  unknown,
  type Finding,
  type PortState,
  type Situation
} from '../../lib/cli/doctor/check.js'
import { antivirus } from '../../lib/cli/doctor/checks/antivirus.js'
import { clock } from '../../lib/cli/doctor/checks/clock.js'
import { firewall } from '../../lib/cli/doctor/checks/firewall.js'
import { fixedAddress } from '../../lib/cli/doctor/checks/fixed-address.js'
import { freeSpace } from '../../lib/cli/doctor/checks/free-space.js'
import { networkProfile } from '../../lib/cli/doctor/checks/network-profile.js'
import { port } from '../../lib/cli/doctor/checks/port.js'
import { sleep } from '../../lib/cli/doctor/checks/sleep.js'
import { stateFileSystem } from '../../lib/cli/doctor/checks/state-file-system.js'
import { checks } from '../../lib/cli/doctor/checks/index.js'
import { probePort } from '../../lib/cli/doctor/probe.js'
import { main } from '../../lib/cli/index.js'
import { en } from '../../lib/cli/text/en.js'
import { fakeSystem, ipv4, type FakeSystem } from '../support/fake-system.js'
import { problemsOfPowerShell } from '../support/power-shell.js'

/** In the order in which a connection fails. */
const LISTED = [port, firewall, networkProfile, fixedAddress, sleep, freeSpace, stateFileSystem, clock, antivirus]

type CheckName = (typeof checks)[number]['name']
interface Pc extends FakeSystem {
  readonly port?: PortState
  readonly hosts?: readonly string[]
  readonly offline?: boolean
  readonly statePath?: string
}

function examine(name: CheckName, pc: Pc): Promise<Finding> {
  const windows = pc.platform === 'win32'
  const situation: Situation = {
    system: fakeSystem(pc),
    text: en.doctor,
    places: en.banner,
    hosts: pc.hosts ?? ['0.0.0.0'],
    port: 3260,
    address:
      pc.offline === true ? undefined : { address: '192.168.0.5', family: 4, interfaceName: 'Wi-Fi', virtual: false },
    statePath: pc.statePath ?? (windows ? "D:\\it's" : '/srv'),
    paths: windows ? ["D:\\it's\\a.img", "D:\\it's\\a.img.cloudx"] : ['/srv/a.img'],
    probe: () => Promise.resolve(pc.port ?? 'free')
  }
  return checks.find((check) => check.name === name)!.examine(situation)
}

const linux = (more: Partial<Pc> = {}): Pc => ({ platform: 'linux', ...more })
const windows = (more: Partial<Pc> = {}): Pc => ({ platform: 'win32', ...more })
const mac = (more: Partial<Pc> = {}): Pc => ({ platform: 'darwin', ...more })
const shell = (output: string | number) => windows({ programs: { 'powershell.exe': output } })
const GIB = 2 ** 30

/** nftables 1.0.6, `nft list ruleset`. */
const nft = (policy: string, rules = '') => `table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy ${policy};
${rules}\t}
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
`
/** `powercfg /query` of a Korean Windows 10. */
const powercfg = (mains: string) => `전원 구성표 GUID: 381b4222-f694-41f0-9685-ff5bb260df2e  (균형 조정)
    전원 설정 GUID: 29f6c1db-86da-48c5-9fdb-f2b67b1f44da  (다음 시간 이후에 절전 모드로 전환)
      최소 설정 가능한 값: 0x00000000
      최대 설정 가능한 값: 0xffffffff
    현재 AC 전원 설정 색인: 0x${mains}
    현재 DC 전원 설정 색인: 0x00000384
`
/** macOS 13, `pmset -g custom`. */
const pmset = (minutes: number) => `Battery Power:
 sleep                1
 displaysleep         2
AC Power:
 displaysleep         10
 sleep                ${minutes}
`
const SOCKETFILTER = '/usr/libexec/ApplicationFirewall/socketfilterfw'

describe('a check', () => {
  it.each<[CheckName, Pc, Finding['state'], RegExp, string | RegExp | undefined]>([
    ['port', linux(), 'ok', /Port 3260 is free, .* 192\.168\.0\.5/, undefined],
    ['port', linux({ port: 'taken' }), 'problem', /in use/, "sudo ss -ltnp 'sport = :3260'"],
    [
      'port',
      windows({ port: 'taken' }),
      'problem',
      /in use/,
      /^Get-Process -Id \(Get-NetTCPConnection -LocalPort 3260/
    ],
    ['port', mac({ port: 'taken' }), 'problem', /in use/, 'sudo lsof -nP -iTCP:3260 -sTCP:LISTEN'],
    ['port', linux({ port: 'forbidden' }), 'problem', /may not listen/, /--port 3260$/],
    [
      'port',
      linux({ port: 'no-address', hosts: ['10.9.9.9'] }),
      'problem',
      /10\.9\.9\.9 is no address/,
      /--host 0\.0\.0\.0$/
    ],
    ['port', linux({ port: 'unreachable' }), 'problem', /cannot reach its own/, 'ip route'],
    ['port', linux({ offline: true }), 'problem', /no network/, 'ip address'],

    [
      'firewall',
      linux({ files: { '/etc/ufw/ufw.conf': 'ENABLED=yes\n' } }),
      'unknown',
      /more rights/,
      'sudo ufw allow 3260/tcp'
    ],
    [
      'firewall',
      linux({
        files: {
          '/etc/ufw/ufw.conf': 'ENABLED=yes\n',
          '/etc/ufw/user.rules': '-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n'
        }
      }),
      ...(['problem', /keeps others out/, 'sudo ufw allow 3260/tcp'] as const)
    ],
    [
      'firewall',
      linux({
        files: {
          '/etc/ufw/ufw.conf': 'ENABLED=yes\n',
          '/etc/ufw/user.rules': '-A ufw-user-input -p tcp --dport 3260 -j ACCEPT\n'
        }
      }),
      ...(['ok', /lets others in/, undefined] as const)
    ],
    [
      'firewall',
      linux({ programs: { 'firewall-cmd --state': 'running', 'firewall-cmd --query-port=3260/tcp': 1 } }),
      'problem',
      /keeps/,
      /--add-port=3260\/tcp && /
    ],
    [
      'firewall',
      linux({ programs: { 'firewall-cmd --state': 'running', 'firewall-cmd --query-port=3260/tcp': 'yes' } }),
      'ok',
      /lets/,
      undefined
    ],
    [
      'firewall',
      linux({ programs: { 'firewall-cmd --state': 'running', 'firewall-cmd --query-port': 253 } }),
      'unknown',
      /rights/,
      /firewall-cmd/
    ],
    [
      'firewall',
      linux({ programs: { nft: 1 } }),
      'unknown',
      /rights/,
      'sudo iptables -I INPUT -p tcp --dport 3260 -j ACCEPT'
    ],
    ['firewall', linux({ programs: { nft: '' } }), 'ok', /No firewall/, undefined],
    ['firewall', linux({ programs: { nft: nft('accept') } }), 'ok', /No firewall/, undefined],
    ['firewall', linux({ programs: { nft: nft('drop') } }), 'problem', /keeps/, /^sudo iptables/],
    [
      'firewall',
      linux({ programs: { nft: nft('drop', '\t\ttcp dport { 22, 3260 } accept\n') } }),
      'ok',
      /lets/,
      undefined
    ],
    [
      'firewall',
      linux({ programs: { nft: nft('drop', '\t\ttcp dport 32600 accept\n') } }),
      'problem',
      /keeps/,
      /^sudo/
    ],
    [
      'firewall',
      linux({ programs: { nft: nft('accept', '\t\tip saddr 10.0.0.1 drop\n') } }),
      'unknown',
      /rights/,
      /^sudo/
    ],
    [
      'firewall',
      linux({ programs: { 'iptables -S INPUT': '-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n' } }),
      'problem',
      /keeps/,
      /^sudo/
    ],
    [
      'firewall',
      linux({ programs: { 'iptables -S INPUT': '-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 3260 -j ACCEPT\n' } }),
      'ok',
      /lets/,
      undefined
    ],
    ['firewall', linux({ programs: { 'iptables -S INPUT': '-P INPUT ACCEPT\n' } }), 'ok', /No firewall/, undefined],
    ['firewall', shell('0\r\n0\r\n0\r\n'), 'ok', /No firewall/, undefined],
    ['firewall', shell('3\r\n1\r\n0\r\n'), 'ok', /lets/, undefined],
    ['firewall', shell('3\r\n0\r\n2\r\n'), 'ok', /lets/, undefined],
    ['firewall', shell('3\r\n0\r\n0\r\n'), 'problem', /keeps/, /^New-NetFirewallRule .*-LocalPort 3260/],
    ['firewall', shell(1), 'unknown', /rights/, /^New-NetFirewallRule/],
    [
      'firewall',
      mac({ programs: { [`${SOCKETFILTER} --getglobalstate`]: 'Firewall is disabled. (State = 0)' } }),
      'ok',
      /No firewall/,
      undefined
    ],
    [
      'firewall',
      mac({
        programs: {
          [`${SOCKETFILTER} --getglobalstate`]: 'Firewall is enabled. (State = 1)',
          [`${SOCKETFILTER} --getappblocked`]: 'The application is not part of the firewall'
        }
      }),
      ...(['problem', /keeps/, /--unblockapp/] as const)
    ],
    [
      'firewall',
      mac({
        programs: {
          [`${SOCKETFILTER} --getglobalstate`]: 'Firewall is enabled. (State = 1)',
          [`${SOCKETFILTER} --getappblocked`]: 'Incoming connection to the application is permitted'
        }
      }),
      ...(['ok', /lets/, undefined] as const)
    ],
    ['firewall', mac(), 'unknown', /rights/, /--unblockapp/],

    ['network-profile', linux(), 'ok', /no network profiles/, undefined],
    [
      'network-profile',
      shell('Private 이더넷\r\nPublic Wi-Fi\r\n'),
      'problem',
      /"Wi-Fi"/,
      "Set-NetConnectionProfile -InterfaceAlias 'Wi-Fi' -NetworkCategory Private"
    ],
    ['network-profile', shell('Public 이더넷 2\r\nPrivate Wi-Fi\r\n'), 'ok', /private/, undefined],
    ['network-profile', shell('DomainAuthenticated Wi-Fi\r\n'), 'ok', /private/, undefined],
    ['network-profile', shell(''), 'unknown', /did not tell/, 'Get-NetConnectionProfile'],
    ['network-profile', shell(1), 'unknown', /did not tell/, 'Get-NetConnectionProfile'],

    [
      'fixed-address',
      linux({ programs: { 'ip -j': '[{"addr_info":[{"local":"192.168.0.5"}]}]' } }),
      'ok',
      /set by hand/,
      undefined
    ],
    [
      'fixed-address',
      linux({ programs: { 'ip -j': '[{"addr_info":[{"local":"192.168.0.5","dynamic":true}]}]' } }),
      'problem',
      /lent/,
      /^sudo nmcli device modify Wi-Fi/
    ],
    ['fixed-address', linux(), 'unknown', /cannot be found out/, 'ip address show dev Wi-Fi'],
    [
      'fixed-address',
      windows({
        programs: {
          'reg.exe query':
            'HKEY_X\r\n    EnableDHCP    REG_DWORD    0x1\r\n    DhcpIPAddress    REG_SZ    192.168.0.5\r\n'
        }
      }),
      ...(['problem', /lent/, /netsh interface ipv4 set address name='Wi-Fi' static 192\.168\.0\.5/] as const)
    ],
    [
      'fixed-address',
      mac({ programs: { ipconfig: 'yiaddr = 192.168.0.5\n' } }),
      'problem',
      /lent/,
      /^sudo networksetup -setmanualwithdhcprouter/
    ],
    ['fixed-address', linux({ offline: true }), 'problem', /no network/, 'ip address'],

    ['sleep', linux(), 'ok', /not go to sleep/, undefined],
    [
      'sleep',
      linux({ files: { '/sys/power/state': 'freeze mem disk\n' } }),
      'unknown',
      /cannot be found out/,
      /^sudo systemctl mask sleep\.target/
    ],
    [
      'sleep',
      linux({
        files: { '/sys/power/state': 'freeze mem\n' },
        programs: { 'systemctl is-enabled sleep.target': 'masked\n' }
      }),
      'ok',
      /not go/,
      undefined
    ],
    [
      'sleep',
      linux({ files: { '/sys/power/state': 'mem\n' }, programs: { gsettings: "'suspend'\n" } }),
      'problem',
      /goes to sleep/,
      /^gsettings set .* nothing$/
    ],
    [
      'sleep',
      linux({ files: { '/sys/power/state': 'mem\n' }, programs: { gsettings: "'nothing'\n" } }),
      'ok',
      /not go/,
      undefined
    ],
    [
      'sleep',
      windows({ programs: { 'powercfg.exe': powercfg('00000708') } }),
      'problem',
      /goes to sleep/,
      'powercfg /change standby-timeout-ac 0'
    ],
    [
      'sleep',
      windows({ programs: { 'powercfg.exe': powercfg('00000000').replaceAll('\n', '\r\n') } }),
      'ok',
      /not go/,
      undefined
    ],
    ['sleep', windows(), 'unknown', /cannot/, 'powercfg /change standby-timeout-ac 0'],
    ['sleep', mac({ programs: { pmset: pmset(1) } }), 'problem', /goes/, 'sudo pmset -c sleep 0'],
    ['sleep', mac({ programs: { pmset: pmset(0) } }), 'ok', /not go/, undefined],
    ['sleep', mac(), 'unknown', /cannot/, 'sudo pmset -c sleep 0'],

    [
      'free-space',
      linux({ space: { freeBytes: 100 * GIB, sizeBytes: 1000 * GIB } }),
      'ok',
      /^100 GiB are free/,
      undefined
    ],
    // 5 % of 1000 GiB stay free, and 5 GiB of a small drive.
    [
      'free-space',
      linux({ space: { freeBytes: 49 * GIB, sizeBytes: 1000 * GIB } }),
      'problem',
      /^49 GiB .* below 50 GiB/,
      /--state-dir/
    ],
    [
      'free-space',
      linux({ space: { freeBytes: 4 * GIB, sizeBytes: 20 * GIB } }),
      'problem',
      /below 5 GiB/,
      /--state-dir/
    ],
    ['free-space', linux(), 'unknown', /cannot/, 'df -h /srv'],
    ['free-space', windows(), 'unknown', /cannot/, 'Get-PSDrive'],

    [
      'state-file-system',
      linux({ files: { '/proc/self/mountinfo': '22 1 8:1 / / rw - ext4 /dev/sda1 rw' } }),
      'ok',
      /ext4/,
      undefined
    ],
    [
      'state-file-system',
      linux({ files: { '/proc/self/mountinfo': '22 1 8:1 / / rw - exfat /dev/sda1 rw' } }),
      'problem',
      /exfat drive/,
      /--state-dir "\$HOME/
    ],
    ['state-file-system', linux({ statePath: '/home/kim/Dropbox/x' }), 'problem', /Dropbox/, /--state-dir/],
    ['state-file-system', linux(), 'unknown', /cannot/, 'df -T /srv'],
    [
      'state-file-system',
      shell('Network\r\nNTFS\r\n'),
      'problem',
      /network drive \(D:\)/,
      /--state-dir C:\\ProgramData\\cloudx/
    ],

    ['clock', linux({ programs: { timedatectl: 'yes\n' } }), 'ok', /kept right/, undefined],
    [
      'clock',
      linux({ programs: { timedatectl: 'no\n' } }),
      'problem',
      /No time server/,
      'sudo timedatectl set-ntp true'
    ],
    ['clock', linux(), 'unknown', /cannot/, 'sudo timedatectl set-ntp true'],
    [
      'clock',
      linux({ now: '1970-01-01T00:00:00Z', programs: { timedatectl: 'yes\n' } }),
      'problem',
      /is wrong/,
      /timedatectl/
    ],
    ['clock', windows({ programs: { 'reg.exe': '\r\n    Type    REG_SZ    NTP\r\n' } }), 'ok', /kept/, undefined],
    [
      'clock',
      windows({ programs: { 'reg.exe': '\r\n    Type    REG_SZ    NoSync\r\n' } }),
      'problem',
      /No time/,
      /w32tm \/resync$/
    ],
    ['clock', windows(), 'unknown', /cannot/, /w32tm/],
    ['clock', mac({ programs: { systemsetup: 'Network Time: On\n' } }), 'ok', /kept/, undefined],
    ['clock', mac({ programs: { systemsetup: 'Network Time: Off\n' } }), 'problem', /No time/, /systemsetup/],
    [
      'clock',
      mac({ programs: { systemsetup: 'You need administrator access to run this tool... exiting!\n' } }),
      'unknown',
      /cannot/,
      /systemsetup/
    ],

    ['antivirus', linux(), 'ok', /No program/, undefined],
    [
      'antivirus',
      shell('AhnLab V3 Lite 4.0\r\nWindows Defender\r\n'),
      'unknown',
      /^AhnLab V3 Lite 4\.0, Windows Defender may/,
      "Add-MpPreference -ExclusionPath 'D:\\it''s\\a.img','D:\\it''s\\a.img.cloudx'"
    ],
    ['antivirus', shell(''), 'ok', /No program/, undefined],
    ['antivirus', shell(1), 'unknown', /did not tell/, /^Add-MpPreference/]
  ])('%s of %j: %s', async (name, pc, state, message, command) => {
    const finding = await examine(name, pc)
    expect(finding.state).toBe(state)
    expect(finding.message).toMatch(message)
    if (command === undefined) expect(finding.command).toBeUndefined()
    else if (typeof command === 'string') expect(finding.command).toBe(command)
    else expect(finding.command).toMatch(command)
    const isCmdlet = pc.platform === 'win32' && /[A-Z]\w+-\w+/.test(finding.command ?? '')
    expect(isCmdlet ? problemsOfPowerShell(finding.command!) : []).toEqual([])
  })

  it('has a command in one line for whatever is to fix or not known, on every system', async () => {
    for (const platform of ['linux', 'win32', 'darwin'] as const) {
      for (const { name } of checks) {
        const { state, command } = await examine(name, { platform, port: 'taken' })
        expect({ name, has: state === 'ok' || (command !== undefined && !command.includes('\n')) }).toEqual({
          name,
          has: true
        })
      }
    }
  })

  it('is listed', () => expect(checks).toEqual(LISTED))

  it('is put together by its helpers', () => {
    expect([ok('a'), problem('b', 'c'), unknown('d', 'e')].map(({ state }) => state)).toEqual([
      'ok',
      'problem',
      'unknown'
    ])
    const commands = { win32: 'w', darwin: 'd', linux: 'l' }
    const at = (platform: NodeJS.Platform) => commandFor({ system: fakeSystem({ platform }) } as Situation, commands)
    expect([at('win32'), at('darwin'), at('linux'), at('freebsd')]).toEqual(['w', 'd', 'l', 'l'])
  })
})

describe('probePort', () => {
  it('tells free, taken and foreign', async () => {
    expect(await probePort('127.0.0.1', 0, '127.0.0.1')).toBe('free')
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    expect(await probePort('127.0.0.1', port, '127.0.0.1')).toBe('taken')
    server.close()
    expect(await probePort('10.255.113.113', 0, '127.0.0.1')).toBe('no-address')
    // It listens at one address of this PC and is looked for at another.
    expect(await probePort('127.0.0.1', 0, '127.0.0.2')).toBe('unreachable')
  })
})

describe('cloudx doctor', () => {
  async function run(argv: string[], pc: Pc, environment: Record<string, string> = {}) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const context = { environment, directory: process.cwd(), stdout, stderr }
    const command = doctorOn(fakeSystem(pc), () => Promise.resolve(pc.port ?? 'free'))
    const exitCode = await main(['doctor', ...argv], context, [command])
    return { exitCode, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
  }
  const well = linux({
    interfaces: { eth0: [ipv4('192.168.0.5')] },
    programs: { nft: '', timedatectl: 'yes\n', 'ip -j': '[{"addr_info":[{"local":"192.168.0.5"}]}]' },
    files: { '/proc/self/mountinfo': '22 1 8:1 / / rw - ext4 /dev/sda1 rw' },
    space: { freeBytes: 100 * GIB, sizeBytes: 200 * GIB }
  })

  it('ends with 0 when nothing is to fix, and has a line for each check', async () => {
    const { exitCode, stdout } = await run([], well)
    expect(exitCode).toBe(0)
    expect(stdout.match(/^OK {3}/gm)).toHaveLength(9)
    expect(stdout).toMatch(/Nothing to fix\.\n$/)
  })

  it('ends with 1 and the command when something is', async () => {
    const { exitCode, stdout } = await run(['a.img', '--port', '3299'], { ...well, port: 'taken' })
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^FIX {2}Port .*3299 is in use.*\n +sudo ss -ltnp 'sport = :3299'\n/)
    expect(stdout).toMatch(/1 to fix\.\n$/)
  })

  it('speaks Korean, and JSON', async () => {
    expect((await run([], well, { LANG: 'ko_KR.UTF-8' })).stdout).toMatch(/^정상 {2}포트 .*조치할 것이 없습니다\.\n$/s)
    const { findings } = JSON.parse((await run(['--json'], well)).stdout) as {
      findings: { check: string; state: string }[]
    }
    expect(findings.map(({ check }) => check)).toEqual(checks.map(({ name }) => name))
    expect(findings.every(({ state }) => state === 'ok')).toBe(true)
  })

  it('does not know what does not answer, and that is no fault', async () => {
    const silent = { ...well, programs: {}, files: {} }
    const { exitCode, stdout } = await run([], silent)
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^\? {4}Clock/m)
  })

  it('refuses wrong settings as serve does', async () => {
    const { exitCode, stderr } = await run(['--port', 'x'], well)
    expect({ exitCode, stderr: stderr.slice(0, 16) }).toEqual({ exitCode: 1, stderr: 'cloudx: --port: ' })
  })
})
