import { describe, expect, it } from '@jest/globals'
import * as kinds from '../../../lib/target/config/kinds.js'

describe('kinds', () => {
  it.each<[string, kinds.Kind<unknown>, string, unknown]>([
    ['onOff', kinds.onOff, 'YES', true],
    ['onOff', kinds.onOff, 'off', false],
    ['duration', kinds.duration, '2h', 7_200_000],
    ['duration', kinds.duration, '36500d', 3_153_600_000_000],
    ['integer', kinds.integer(1, 5), '5', 5],
    ['size', kinds.size(0, 2048), '2K', 2048],
    ['powerOfTwo', kinds.powerOfTwo(4096, 65536, 'x'), '64K', 65536],
    ['oneOf', kinds.oneOf('a', 'b'), 'b', 'b'],
    ['oneOfNumbers', kinds.oneOfNumbers(512, 4096), '4096', 4096],
    ['iscsiName', kinds.iscsiName, 'IQN.2025-01.org.example:X', 'iqn.2025-01.org.example:x'],
    ['author', kinds.author, 'local', 'local'],
    ['allowed', kinds.allowed, '*', '*'],
    ['allowed', kinds.allowed, '10.1.2.3', '10.1.2.3'],
    ['allowed', kinds.allowed, '2001:db8::/32', '2001:db8::/32'],
    ['allowed', kinds.allowed, 'eui.02004567A425678D', 'eui.02004567a425678d'],
    ['allowed', kinds.allowed, 'iqn.2025-01.*', 'iqn.2025-01.*'],
    ['allowed', kinds.allowed, 'iqn.2025-01.org.example:학생-*', 'iqn.2025-01.org.example:학생-*'],
    ['initiatorRule', kinds.initiatorRule, '*=keep', { match: '*', policy: 'keep' }],
    [
      'initiatorRule',
      kinds.initiatorRule,
      'IQN.2025-01.a:*=restore-on=boot',
      { match: 'iqn.2025-01.a:*', restoreOn: 'boot' }
    ],
    [
      'initiatorRule',
      kinds.initiatorRule,
      'iqn.2025-01.a:b=restore,restore-on=manual,lun=255',
      { match: 'iqn.2025-01.a:b', policy: 'restore', restoreOn: 'manual', lun: 255 }
    ],
    ['host', kinds.host, 'fe80::1%eth0', 'fe80::1%eth0'],
    ['advertised', kinds.advertised, 'nas.example.org', 'nas.example.org'],
    ['advertised', kinds.advertised, '::1', '::1'],
    ['advertised', kinds.advertised, '[::1]:65535', '[::1]:65535']
  ])('%s takes %#: %p', (_name, kind, text, value) => expect(kind.parse(text)).toEqual(value))

  it.each<[string, kinds.Kind<unknown>, string]>([
    ['onOff', kinds.onOff, ''],
    ['initiatorRule', kinds.initiatorRule, '*'],
    ['initiatorRule', kinds.initiatorRule, '*='],
    ['initiatorRule', kinds.initiatorRule, '=keep'],
    ['initiatorRule', kinds.initiatorRule, '*=burn'],
    ['initiatorRule', kinds.initiatorRule, '*=keep,restore'],
    ['initiatorRule', kinds.initiatorRule, '*=lun=1'],
    ['initiatorRule', kinds.initiatorRule, '*=keep,lun=256'],
    ['initiatorRule', kinds.initiatorRule, '*=author,lun=0'],
    ['initiatorRule', kinds.initiatorRule, '*=keep,lun=1,lun=2'],
    ['initiatorRule', kinds.initiatorRule, '*=restore-on=sunday'],
    ['initiatorRule', kinds.initiatorRule, 'pc=keep'],
    ['onOff', kinds.onOff, 'constructor'],
    ['text', kinds.text, ''],
    ['text', kinds.text, 'a\u0000'],
    ['path', kinds.path, ''],
    ['integer', kinds.integer(1, 5), '0'],
    ['integer', kinds.integer(1, 5), '6'],
    ['integer', kinds.integer(1, 5), '2.5'],
    ['integer', kinds.integer(1, 5), '0x2'],
    ['size', kinds.size(1, 2048), '2049'],
    ['powerOfTwo', kinds.powerOfTwo(4096, 65536, 'x'), '2K'],
    ['powerOfTwo', kinds.powerOfTwo(4096, 65536, 'x'), '5000'],
    ['oneOf', kinds.oneOf('a', 'b'), 'A'],
    ['oneOfNumbers', kinds.oneOfNumbers(512, 4096), '512.0'],
    ['author', kinds.author, 'Local'],
    ['allowed', kinds.allowed, ''],
    ['allowed', kinds.allowed, 'pc-*'],
    ['allowed', kinds.allowed, '10.0.0.0/8/8'],
    ['allowed', kinds.allowed, 'iqn.2025-01.org.example:../*'],
    ['host', kinds.host, ''],
    ['host', kinds.host, 'a b'],
    ['duration', kinds.duration, '36501d'],
    ['duration', kinds.duration, '104249991d'],
    ['advertised', kinds.advertised, 'nas:65536'],
    ['advertised', kinds.advertised, 'nas:0'],
    ['advertised', kinds.advertised, 'a:b']
  ])('%s refuses %#: %p', (_name, kind, text) => expect(kind.parse(text)).toBeUndefined())

  it('lists words as people do', () => {
    expect(kinds.oneOf('a', 'b', 'c').expects).toBe('a, b or c')
    expect(kinds.oneOf('a', 'b').expects).toBe('a or b')
  })
})
