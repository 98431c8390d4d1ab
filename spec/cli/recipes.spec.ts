import { describe, expect, it } from '@jest/globals'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { autostart } from '../../lib/cli/recipes/autostart.js'
import { bootWithIpxe } from '../../lib/cli/recipes/ipxe.js'
import { connectFromLinux, disconnectFromLinux } from '../../lib/cli/recipes/linux.js'
import { startQemu } from '../../lib/cli/recipes/qemu.js'
import type { Share } from '../../lib/cli/recipes/share.js'
import { connectFromWindows, disconnectFromWindows, openWindowsFirewall } from '../../lib/cli/recipes/windows.js'
import { isInstalled } from '../support/programs.js'
import { problemsOfPowerShell } from '../support/power-shell.js'

const OPEN: Share = {
  targetName: 'iqn.2010-04.local.cloudx:공유-폴더',
  host: '192.168.0.5',
  port: 3260,
  chapUser: undefined,
  mutual: false
}
const CHAP: Share = { ...OPEN, chapUser: "o'neil" }
const MUTUAL: Share = { ...CHAP, mutual: true }
const V6: Share = { ...OPEN, host: 'fd00::5' }
const INVOCATION = {
  program: ['C:\\Program Files\\nodejs\\node.exe', 'C:\\cloud x\\main.cjs'],
  args: ['D:\\공유 폴더\\it\'s "a".img', '--port', '3261', 'end\\'],
  directory: 'D:\\'
}

describe('the judge of PowerShell lines', () => {
  it.each([
    ['Start-Service MSiSCSI && x', 'an operator of PowerShell 7'],
    ['Get-Disk | Set-Disk -Offline $true', 'Set-Disk has no -Offline'],
    ['Get-IscsiThing', 'no cmdlet Get-IscsiThing'],
    ['$a ? 1 : 2', 'an operator of PowerShell 7'],
    ["Get-Disk -FriendlyName 'it's'", 'an operator of PowerShell 7']
  ])('finds fault with %s', (line, problem) => expect(problemsOfPowerShell(line)).toContain(problem))
})

describe('lines for Windows', () => {
  it.each([
    ['open', OPEN],
    ['CHAP', CHAP],
    ['mutual CHAP', MUTUAL],
    ['IPv6', V6]
  ])('are valid in PowerShell 5.1 (%s)', (_what, share) => {
    const lines = [
      ...connectFromWindows(share),
      ...disconnectFromWindows(share),
      openWindowsFirewall(3260, ['fd00::/8'])
    ]
    expect(lines.flatMap(problemsOfPowerShell)).toEqual([])
  })

  it('are three, of which a person pastes one after the other', () => {
    expect(connectFromWindows(OPEN)).toHaveLength(3)
    expect(connectFromWindows(OPEN)[1]).toContain("-NodeAddress 'iqn.2010-04.local.cloudx:공유-폴더'")
  })

  it('name the user and never a secret', () => {
    const [, , connect] = connectFromWindows(MUTUAL)
    expect(connect).toContain("-AuthenticationType MUTUALCHAP -ChapUsername 'o''neil' -ChapSecret 'SECRET'")
    expect(connectFromWindows(CHAP)[1]).toContain('-AuthenticationType ONEWAYCHAP')
  })

  it('open the firewall for the network around, or for those who may come', () => {
    expect(openWindowsFirewall(3261, [])).toMatch(/-LocalPort 3261 -RemoteAddress LocalSubnet$/)
    expect(openWindowsFirewall(3261, ['10.0.0.0/8', '::1'])).toMatch(/-RemoteAddress '10\.0\.0\.0\/8','::1'$/)
  })

  it('start the server with the PC', () => {
    const line = autostart('win32', INVOCATION)!
    expect(problemsOfPowerShell(line)).toEqual([])
    // CommandLineToArgvW: \" is a quote, and a backslash at the end of a bare word is itself.
    expect(line).toContain(`'"C:\\cloud x\\main.cjs" "D:\\공유 폴더\\it''s \\"a\\".img" --port 3261 end\\'`)
  })
})

describe('lines for Linux', () => {
  it('make a node record, set the secret and log in', () => {
    expect(connectFromLinux({ ...CHAP, targetName: 'iqn.2026-01.x:a' })).toEqual([
      'sudo iscsiadm -m node -T iqn.2026-01.x:a -p 192.168.0.5:3260 -o new',
      'sudo iscsiadm -m node -T iqn.2026-01.x:a -p 192.168.0.5:3260 -o update -n node.session.auth.authmethod -v CHAP',
      "sudo iscsiadm -m node -T iqn.2026-01.x:a -p 192.168.0.5:3260 -o update -n node.session.auth.username -v 'o'\\''neil'",
      'sudo iscsiadm -m node -T iqn.2026-01.x:a -p 192.168.0.5:3260 -o update -n node.session.auth.password -v SECRET',
      'sudo iscsiadm -m node -T iqn.2026-01.x:a -p 192.168.0.5:3260 --login'
    ])
    expect(connectFromLinux(MUTUAL)).toHaveLength(7)
    expect(disconnectFromLinux(V6)[0]).toContain("-p '[fd00::5]:3260' --logout")
  })
})

describe('lines for QEMU and iPXE', () => {
  it('name portal, target and LUN', () => {
    expect(startQemu({ ...OPEN, targetName: 'iqn.2026-01.x:a' })).toBe(
      'qemu-system-x86_64 -m 2G -drive driver=iscsi,transport=tcp,portal=192.168.0.5:3260,target=iqn.2026-01.x:a,lun=0,if=virtio'
    )
    expect(startQemu({ ...CHAP, chapUser: 'a,b' })).toContain('user=a,,b,password-secret=cloudx')
    expect(bootWithIpxe({ ...V6, targetName: 'iqn.2026-01.x:a' })).toEqual([
      'sanboot iscsi:[fd00::5]::3260:0:iqn.2026-01.x:a'
    ])
    expect(bootWithIpxe(CHAP)).toHaveLength(3)
  })
})

describe('autostart', () => {
  const invocation = {
    program: ['/usr/bin/node', '/opt/cloud x/main.cjs'],
    args: [`a "b" 'c' 100% $X \\n.img`],
    directory: '/d e/50%'
  }

  it('writes a unit that systemd reads as it was meant', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloudx-unit-'))
    try {
      const path = join(folder, 'cloudx.service')
      const line = autostart('linux', { ...invocation, program: ['/bin/sh', '/opt/cloud x/main.cjs'], directory: '/' })!
      const write = line.replace(/ \| sudo tee .*$/, ` > '${path}'`)
      expect(write).not.toBe(line)
      execFileSync('sh', ['-c', write])
      const unit = readFileSync(path, 'utf8')
      expect(unit).toContain('ExecStart="/bin/sh" "/opt/cloud x/main.cjs" "a \\"b\\" \'c\' 100%% $$X \\\\n.img"\n')
      if (isInstalled('systemd-analyze'))
        execFileSync('systemd-analyze', ['verify', '--man=no', path], { stdio: 'pipe' })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('writes a property list that holds the words of the command line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloudx-plist-'))
    try {
      const path = join(folder, 'cloudx.plist')
      const line = autostart('darwin', { ...invocation, args: ['<a> & "b"', "it's"] })!
      execFileSync('sh', ['-c', line.replace(/ \| sudo tee .*$/, ` > '${path}'`)])
      const read = 'import json,plistlib,sys; print(json.dumps(plistlib.load(open(sys.argv[1],"rb"))))'
      writeFileSync(join(folder, 'read.py'), read)
      const plist = isInstalled('python3')
        ? execFileSync('python3', [join(folder, 'read.py'), path]).toString()
        : undefined
      if (plist === undefined) return
      expect(JSON.parse(plist)).toEqual({
        Label: 'cloudx',
        RunAtLoad: true,
        WorkingDirectory: '/d e/50%',
        ProgramArguments: ['/usr/bin/node', '/opt/cloud x/main.cjs', '<a> & "b"', "it's"]
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('knows none for other systems', () => expect(autostart('aix', invocation)).toBeUndefined())
})
