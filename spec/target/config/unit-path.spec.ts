import { describe, expect, it } from '@jest/globals'
import { ConfigError, Problems } from '../../../lib/target/config/entries.js'
import { unitPath } from '../../../lib/target/config/unit-path.js'

function take(text: string) {
  const problems = new Problems()
  const { path, unit } = unitPath({ text, where: '--lun', directory: '/work dir' }, problems)
  problems.check()
  return { path, settings: Object.fromEntries([...unit].map(([key, entries]) => [key, entries[0]!.text])) }
}

describe('unitPath', () => {
  it.each<[string, string, Record<string, string>]>([
    ['/images/a.img', '/images/a.img', {}],
    ['a.img', '/work dir/a.img', {}],
    ['../a.img', '/a.img', {}],
    ['a,b.img', '/work dir/a,b.img', {}],
    ['a=b.img', '/work dir/a=b.img', {}],
    ['a.img,partition=2', '/work dir/a.img', { partition: '2' }],
    ['/dev/sdb,read-only=true,partition=2', '/dev/sdb', { partition: '2', 'read-only': 'true' }],
    ['memory:64M', 'memory:64M', {}],
    ['nbd://host:10809/export', 'nbd://host:10809/export', {}]
  ])('takes %j apart', (text, path, settings) => expect(take(text)).toEqual({ path, settings }))

  it('tells which setting is unknown and which was meant', () => {
    expect(() => take('a.img,partitoin=2')).toThrow(
      new ConfigError(['--lun a.img,partitoin=2: unknown key "partitoin"; did you mean "partition"?'])
    )
  })

  it('refuses a setting that is none of a unit', () => {
    expect(() => take('a.img,port=3')).toThrow('"port" cannot stand here; it goes to the top of the file')
  })
})
