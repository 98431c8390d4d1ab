import { describe, expect, it } from '@jest/globals'
import { AccessList } from '../../lib/target/access.js'
import type { AccessOptions } from '../../lib/target/options.js'

function list(
  allow: readonly string[],
  more: Partial<AccessOptions> = {},
  authors: readonly string[] = []
): AccessList {
  return new AccessList({ allow, chap: undefined, mutual: undefined, ...more }, authors)
}

function from(initiatorName: string, remoteAddress = '192.0.2.9') {
  return { initiatorName, remoteAddress, targetName: 'iqn.2010-04.local.cloudx:share' }
}

describe('AccessList', () => {
  it.each([
    ['192.168.1.9', true],
    ['127.0.0.1', true],
    ['fe80::9', true],
    ['fd00::9', true],
    ['192.0.2.9', false],
    ['100.64.0.9', false],
    ['2001:db8::9', false]
  ])('lets %s in when it is empty: %s', (address, allowed) => {
    expect(list([]).allows(from('iqn.2000-01.x:any', address))).toBe(allowed)
  })

  it('lets everybody in with *, and an address that it names from anywhere', () => {
    expect(list(['*']).allows(from('iqn.2000-01.x:any', '203.0.113.9'))).toBe(true)
    expect(list(['203.0.113.0/24']).allows(from('iqn.2000-01.x:any', '203.0.113.9'))).toBe(true)
    expect(list(['203.0.113.0/24']).allows(from('iqn.2000-01.x:any', '192.168.1.9'))).toBe(false)
  })

  it('names the option that would have let somebody in', () => {
    expect(list([]).refusal(from('iqn.2000-01.x:a', '203.0.113.9'))).toContain('--allow 203.0.113.9')
    expect(list(['192.168.0.0/16']).refusal(from('iqn.2000-01.x:a'))).toMatch(
      /--allow iqn\.2000-01\.x:a or --allow 192/
    )
  })

  it.each([
    ['iqn.2000-01.x:pc-7', true],
    ['iqn.2000-01.x:pc-71', false],
    ['iqn.2000-01.lab:a', true],
    ['iqn.2000-01.lab', false]
  ])('answers %s by whole names and by wild cards at the end: %s', (name, allowed) => {
    expect(list(['iqn.2000-01.x:pc-7', 'iqn.2000-01.lab:*']).allows(from(name))).toBe(allowed)
  })

  it('lets in whom a name or an address range matches', () => {
    const access = list(['iqn.2000-01.x:pc-7', '198.51.100.0/24'])
    expect(access.allows(from('iqn.2000-01.y:z', '198.51.100.3'))).toBe(true)
    expect(access.allows(from('iqn.2000-01.x:pc-7'))).toBe(true)
    expect(access.allows(from('iqn.2000-01.y:z'))).toBe(false)
  })

  it.each(['pc-7', '192.0.2.0/99', 'iqn', ''])('refuses the entry "%s" with a sentence', (entry) => {
    expect(() => list([entry])).toThrow(/is neither an initiator name/)
  })

  it('knows authors by name, and any initiator on this PC by the word local', () => {
    const access = list([], {}, ['iqn.2000-01.x:admin', 'local'])
    expect(access.isAuthor(from('iqn.2000-01.x:admin'))).toBe(true)
    expect(access.isAuthor(from('iqn.2000-01.x:pc', '127.0.0.1'))).toBe(true)
    expect(access.isAuthor(from('iqn.2000-01.x:pc', '203.0.113.250'))).toBe(false)
    expect(list([]).isAuthor(from('iqn.2000-01.x:pc', '127.0.0.1'))).toBe(false)
  })

  it('demands CHAP when there is a secret, and gives it for the right name alone', () => {
    const secret = Buffer.from('correct horse 12')
    const { chap } = list([], { chap: { user: 'alice', secret } })
    expect(chap.required).toBe(true)
    expect(chap.initiatorSecret('alice')).toBe(secret)
    expect(chap.initiatorSecret('Alice')).toBeUndefined()
    expect(chap.initiatorSecret('__proto__')).toBeUndefined()
    expect(list([]).chap).toMatchObject({ required: false, available: false, mutual: undefined })
  })
})
