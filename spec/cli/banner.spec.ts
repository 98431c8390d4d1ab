import { describe, expect, it } from '@jest/globals'
import { bannerLines, type BannerFacts, type BannerTarget } from '../../lib/cli/banner.js'
import { bannerFacts } from '../../lib/cli/banner-facts.js'
import { columnsOf, padded, wrap } from '../../lib/cli/columns.js'
import { en } from '../../lib/cli/text/en.js'
import { ko } from '../../lib/cli/text/ko.js'
import type { ServerOptions, TargetOptions } from '../../lib/target/options.js'
import { fakeSystem, ipv4, type FakeSystem } from '../support/fake-system.js'

const TARGET: BannerTarget = {
  name: 'iqn.2010-04.local.cloudx:share',
  images: ['D:\\share.img (8 GiB)'],
  uses: ['private'],
  allow: [],
  chapUser: undefined,
  mutual: false,
  hasAuthors: false
}
const FACTS: BannerFacts = {
  platform: 'win32',
  targets: [TARGET],
  addresses: ['192.168.0.5', '172.17.0.1'],
  loopbackOnly: false,
  port: 3260,
  warnings: [],
  invocation: { program: ['C:\\node.exe', 'C:\\cloudx\\main.cjs'], args: ['share.img'], directory: 'D:\\' }
}

/** Lines of the banner that a person pastes: they are set in, and the facts at the top are not meant. */
const isCommand = (line: string) => /^ {2}(sudo|Set-|New-|Connect-|Get-|Register-|qemu|sanboot|set |printf)/.test(line)
const show = (facts: Partial<BannerFacts>, text = en, columns = 80) =>
  bannerLines({ ...FACTS, ...facts }, text.banner, columns)
const target = (changes: Partial<BannerTarget>) => ({ targets: [{ ...TARGET, ...changes }] })

describe('bannerLines', () => {
  it.each([
    ['English', en],
    ['Korean', ko]
  ])('says in %s all that a first day needs', (_language, text) => {
    const shown = show({ warnings: ['WARNING'] }, text).join('\n')
    for (const fact of ['D:\\share.img (8 GiB)', TARGET.name, '192.168.0.5', '3260', '172.17.0.1', 'WARNING']) {
      expect(shown).toContain(fact)
    }
    for (const line of [
      'Start-Service MSiSCSI',
      'Connect-IscsiTarget',
      'Set-Disk',
      'Disconnect-IscsiTarget',
      'iscsiadm'
    ]) {
      expect(shown).toContain(line)
    }
    for (const line of [
      'qemu-system-x86_64',
      'sanboot',
      'New-NetFirewallRule',
      'Register-ScheduledTask',
      '--author local'
    ]) {
      expect(shown).toContain(line)
    }
    expect(shown).toMatch(/OPEN TO EVERYONE/)
  })

  it('speaks of running as administrator, and of the window', () => {
    expect(show({}).join(' ')).toMatch(/"Run as administrator".*ends when this window is closed/)
    expect(show({}, ko).join(' ')).toMatch(/"관리자 권한으로 실행".*이 창을 닫거나/)
  })

  it.each([
    [80, en],
    [80, ko],
    [50, ko],
    [200, en]
  ])('fits prose to %i columns and breaks no line to paste', (columns, text) => {
    const facts = { warnings: [text.banner.dhcp('192.168.0.5')], ...target({ chapUser: 'pc', mutual: true }) }
    const lines = show(facts, text, columns)
    const prose = lines.filter((line) => !isCommand(line))
    // A single word can be longer than the window: names, addresses, --chap-secret-file로.
    const tooLong = prose.filter((line) => columnsOf(line) > Math.min(columns, 100) && line.trim().includes(' '))
    expect(tooLong.filter((line) => !/^\S* +\S+$/.test(line.trim()))).toEqual([])
    expect(lines.filter((line) => line.includes('Connect-IscsiTarget'))).toHaveLength(1)
    expect(lines.filter((line) => isCommand(line)).map((line) => line.trim())).toEqual(
      show(facts, text, 1000)
        .filter((line) => isCommand(line))
        .map((line) => line.trim())
    )
  })

  it.each<[string, Partial<BannerTarget>, RegExp]>([
    ['nobody is kept out', {}, /OPEN TO EVERYONE ON THIS NETWORK: nobody is asked/],
    ['all addresses may come', { allow: ['*'] }, /OPEN TO EVERYONE ON THIS NETWORK AND BEYOND/],
    ['a list of addresses', { allow: ['192.168.0.0/24'] }, /Open to {2}192\.168\.0\.0\/24;/],
    ['CHAP', { chapUser: 'pc' }, /Open to {2}this network, with the secret of user pc/],
    ['both', { chapUser: 'pc', allow: ['10.0.0.0/8'] }, /Open to {2}10\.0\.0\.0\/8, with the secret of user pc/]
  ])('tells who may come: %s', (_what, changes, words) => {
    const shown = show(target(changes), en, 100).join('\n')
    expect(shown).toMatch(words)
    expect(shown.includes('OPEN TO EVERYONE')).toBe(words.source.includes('EVERYONE'))
  })

  it('lets the same ranges through the firewall as through --allow, when they are addresses', () => {
    const rule = (allow: string[]) => show(target({ allow })).find((line) => line.includes('New-NetFirewallRule'))
    expect(rule(['10.0.0.0/8'])).toMatch(/-RemoteAddress '10\.0\.0\.0\/8'$/)
    expect(rule(['iqn.2026-01.x:*'])).toMatch(/-RemoteAddress LocalSubnet$/)
    expect(show({ platform: 'linux' }).join('')).not.toContain('New-NetFirewallRule')
  })

  it('has no lines to paste where there is no address', () => {
    const shown = show({ addresses: [] })
    expect(shown.join('\n')).toContain('no network')
    expect(shown.join('\n')).not.toContain('iscsiadm')
  })

  it('speaks to authors, and of further targets', () => {
    expect(show(target({ hasAuthors: true })).join(' ')).toContain('Authors write into the image itself')
    expect(show({ targets: [TARGET, { ...TARGET, name: 'iqn.2026-01.x:b' }] }).join(' ')).toContain(
      'other targets: iqn.2026-01.x:b'
    )
  })
})

describe('what becomes of what a client writes', () => {
  const said = (uses: BannerTarget['uses'], text = en, changes: Partial<BannerTarget> = {}) =>
    show(target({ uses, ...changes }), text, 1000).join('\n')

  it.each<[BannerTarget['uses'], RegExp, RegExp]>([
    [
      ['private'],
      /private to them, and gone when they disconnect\.$/m,
      /자기만 볼 수 있고, 연결을 끊으면 사라집니다\.$/m
    ],
    [['shared'], /all of them see, and it stays/, /모두가 보고, 그대로 남습니다/],
    [['read-only'], /^Nobody can write to it\.$/m, /^아무도 이 디스크에 쓸 수 없습니다\.$/m],
    [['read-only', 'shared'], /all of them see, and it stays/, /모두가 보고, 그대로 남습니다/],
    [['private', 'shared'], /gone when they disconnect; not so on an image/, /사라집니다\. 위에 읽기 전용이나 함께/]
  ])('is told where disks are %j', (uses, english, korean) => {
    expect(said(uses)).toMatch(english)
    expect(said(uses, ko)).toMatch(korean)
    const alone = uses[0] === 'private' && uses.length === 1
    expect(said(uses).split('\n').includes(en.banner.promise)).toBe(alone)
  })

  it.each<[BannerTarget['uses'], boolean, RegExp]>([
    [['private'], false, /^To fill the disk: stop, start once more with --author local, and connect/m],
    [['private'], true, /^Authors write into the image itself\./m],
    [['shared'], false, /^To fill the disk: connect from this PC, to 192\.168\.0\.5 port 3260, while nobody else/m],
    [['read-only'], false, /^To fill the disk: stop, .*--author local in place of --read-only\.$/m],
    // An author can write to it no more than anybody else.
    [['read-only'], true, /^To fill the disk: stop, .*--author local in place of --read-only\.$/m]
  ])('says how to fill disks that are %j (with authors: %s)', (uses, hasAuthors, words) => {
    expect(said(uses, en, { hasAuthors })).toMatch(words)
    expect(said(uses, en, { hasAuthors }).match(/^(To fill|Authors)/gm)).toHaveLength(1)
  })
})

describe('bannerFacts', () => {
  const unit = { lun: 0, path: '/data/share.img', partition: undefined, readOnly: true, blockSize: 512, createBytes: 0 }
  const options = (changes: Partial<ServerOptions> = {}) =>
    ({
      targets: [
        {
          name: TARGET.name,
          units: [unit],
          access: { allow: [], chap: undefined, mutual: undefined },
          authors: ['local']
        } as unknown as TargetOptions
      ],
      stateDirectory: undefined,
      advertise: undefined,
      ...changes
    }) as ServerOptions
  const PC: FakeSystem = {
    platform: 'linux',
    interfaces: { docker0: [ipv4('172.17.0.1')], eth0: [ipv4('192.168.0.5')] },
    routes: { 4: '192.168.0.5' },
    files: { '/proc/self/mountinfo': '22 1 8:1 / / rw - vfat /dev/sda1 rw' },
    programs: {
      'ip -j address show dev eth0': '[{"addr_info":[{"local":"192.168.0.5","dynamic":true}]}]'
    }
  }
  const facts = (changes: Partial<ServerOptions> = {}, address = '0.0.0.0') =>
    bannerFacts(
      {
        options: options(changes),
        listening: [{ address, port: 3260 }],
        system: fakeSystem(PC),
        invocation: undefined,
        sizeOf: () => Promise.resolve(2 ** 33)
      },
      en.banner
    )

  it('finds addresses, size, a lent address and a bad place', async () => {
    const found = await facts({ stateDirectory: '/state' })
    expect(found).toMatchObject({ addresses: ['192.168.0.5', '172.17.0.1'], port: 3260, loopbackOnly: false })
    expect(found.targets).toMatchObject([{ images: ['/data/share.img (8 GiB, read-only)'], hasAuthors: true }])
    expect(found.warnings).toEqual([
      expect.stringMatching(/^192\.168\.0\.5 was lent by the router \(DHCP\)/),
      expect.stringMatching(/^The image \/data\/share\.img lies on a vfat drive/),
      expect.stringMatching(/^The state folder \/state lies on a vfat drive/)
    ])
  })

  it.each([
    ['a disk for each client', { readOnly: false }, ['private']],
    ['one for all', { readOnly: false, shared: true }, ['shared']],
    ['a disk that nobody writes to', {}, ['read-only']],
    ['one for all that nobody writes to', { shared: true }, ['read-only']]
  ])('tells how %s is used', async (_what, changes, uses) => {
    const { targets } = options()
    const found = await facts({ targets: [{ ...targets[0]!, units: [{ ...targets[0]!.units[0]!, ...changes }] }] })
    expect(found.targets[0]!.uses).toEqual(uses)
  })

  it('speaks of a partition in the language of the rest', async () => {
    const { targets } = options()
    const part = { ...options(), targets: [{ ...targets[0]!, units: [{ ...targets[0]!.units[0]!, partition: 2 }] }] }
    const sources = {
      options: part,
      listening: [],
      system: fakeSystem(PC),
      invocation: undefined,
      sizeOf: () => Promise.resolve(undefined)
    }
    expect((await bannerFacts(sources, en.banner)).targets[0]!.images[0]).toMatch(/\(partition 2, read-only\)$/)
    expect((await bannerFacts(sources, ko.banner)).targets[0]!.images[0]).toMatch(/\(파티션 2, 읽기 전용\)$/)
  })

  it.each([
    ['172.17.0.1', ['172.17.0.1'], false],
    ['127.0.0.1', ['127.0.0.1'], true],
    ['::', ['192.168.0.5', '172.17.0.1'], false]
  ])('names what can be reached when it listens on %s', async (address, addresses, loopbackOnly) => {
    expect(await facts({}, address)).toMatchObject({ addresses, loopbackOnly })
  })

  it.each([
    ['nas.example', 'nas.example', 3260],
    ['nas.example:3261', 'nas.example', 3261],
    ['[2001:db8::5]:3261', '2001:db8::5', 3261],
    ['2001:db8::5', '2001:db8::5', 3260]
  ])('names %s where that is advertised', async (advertise, host, port) => {
    const found = await facts({ advertise })
    expect(found).toMatchObject({ addresses: [host], port })
    expect(found.warnings.join('')).not.toContain('DHCP')
  })
})

describe('columns', () => {
  it.each([
    ['abc', 3],
    ['공유', 4],
    ['공유'.normalize('NFD'), 4],
    ['(가)', 4],
    ['', 0],
    ['💾', 2]
  ])('of %s are %i', (text, columns) => expect(columnsOf(text)).toBe(columns))

  it('wraps at blanks alone, and fills up', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three'])
    expect(wrap('공유 폴더 가', 9)).toEqual(['공유 폴더', '가'])
    expect(wrap('averylongword x', 5)).toEqual(['averylongword', 'x'])
    expect(padded('가', 4)).toBe('가  ')
  })
})
