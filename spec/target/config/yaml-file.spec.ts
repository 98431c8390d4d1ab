import { describe, expect, it } from '@jest/globals'
import { ConfigError, Problems } from '../../../lib/target/config/entries.js'
import { parseConfigFile } from '../../../lib/target/config/yaml-file.js'

function parse(text: string) {
  const problems = new Problems()
  const file = parseConfigFile(text, 'x.yaml', '/etc/cloudx/x.yaml', problems)
  problems.check()
  return file
}

describe('parseConfigFile', () => {
  it.each(['', '\n', '# only a remark\n', '---\n', '\ufeff'])('takes %j for a file that says nothing', (text) => {
    expect(parse(text)).toEqual({ top: new Map(), targets: undefined })
  })

  it('tells for each value where it stands and where its paths start', () => {
    expect(parse('port: 1\nhost:\n  - ::1\n  - 10.0.0.1\n').top).toEqual(
      new Map([
        ['port', [{ text: '1', where: 'x.yaml:1: port', directory: '/etc/cloudx' }]],
        [
          'host',
          [
            { text: '::1', where: 'x.yaml:3: host', directory: '/etc/cloudx' },
            { text: '10.0.0.1', where: 'x.yaml:4: host', directory: '/etc/cloudx' }
          ]
        ]
      ])
    )
  })

  it('keeps the settings of a unit with the unit', () => {
    const [entry] = parse('lun:\n  - path: a.img\n    partition: 2\n').top.get('lun')!
    expect(entry!.text).toBe('a.img')
    expect(entry!.unit!.get('partition')).toMatchObject([{ text: '2', where: 'x.yaml:3: partition' }])
  })

  it('reads rules for initiators as the option has them, in a target too', () => {
    const rules = 'initiators:\n- match: iqn.2025-01.org.example:a\n  policy: author\n'
    expect(parse(rules).top.get('policy')).toEqual([
      { text: 'iqn.2025-01.org.example:a=author', where: 'x.yaml:2: initiators', directory: '/etc/cloudx' }
    ])
    const boot = 'initiators:\n- {match: iqn.2025-01.org.example:a, restore-on: boot, lun: 1}\n'
    expect(parse(boot).top.get('policy')).toMatchObject([{ text: 'iqn.2025-01.org.example:a=restore-on=boot,lun=1' }])
    const [target] = parse("targets:\n- lun: a\n  initiators: [{match: '*', policy: author}]\n").targets!
    expect(target!.entries.get('policy')).toMatchObject([{ text: '*=author' }])
  })

  it.each([
    'initiators: all\n',
    'initiators:\n- all\n',
    'initiators:\n- match: x\n',
    'initiators:\n- {match: x, policy: author, polciy: y}\n',
    'initiators:\n- {match: x, lun: 1}\n',
    'lun:\n- path: a\n  initiators: []\n'
  ])('refuses the rules of %j with a line', (text) => {
    expect(() => parse(text)).toThrow(/^x\.yaml:\d/)
  })

  it.each([
    'lun: [a\n',
    'a: b: c\n',
    '\tlun: a\n',
    'lun: *nowhere\n',
    'just words\n',
    '- a\n',
    'targets: []\n',
    'targets: {}\n',
    'targets:\n',
    'targets:\n- []\n',
    '? [a]\n: b\n',
    'lun:\n- [a]\n',
    '--- \nlun: a\n---\nlun: b\n',
    '<<: {lun: a}\n'
  ])('refuses %j with a line', (text) => {
    expect(() => parse(text)).toThrow(ConfigError)
    expect(() => parse(text)).toThrow(/^x\.yaml:\d/)
  })

  it('does not follow aliases, so no small file can become a large one', () => {
    expect(() => parse('alias: &a [x, x]\nhost: [*a, *a]\n')).toThrow(ConfigError)
  })
})
