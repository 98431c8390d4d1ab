import { describe, expect, it } from '@jest/globals'
import { publicAddress } from '../../../lib/target/config/public-host.js'

const names = (host: string) =>
  host === 'nas.example' ? Promise.resolve({ address: '203.0.113.5' }) : Promise.reject(new Error('ENOTFOUND'))

describe('publicAddress', () => {
  it.each([
    ['203.0.113.5', '203.0.113.5'],
    ['2001:db8::5', '2001:db8::5'],
    ['::ffff:203.0.113.5', '203.0.113.5'],
    ['100.64.0.1', '100.64.0.1'],
    ['172.32.0.1', '172.32.0.1'],
    ['nas.example', '203.0.113.5']
  ])('knows %s as %s', async (host, address) => expect(await publicAddress(host, names)).toBe(address))

  it.each([
    '0.0.0.0',
    '::',
    '127.0.0.1',
    '::1',
    '192.168.1.5',
    '10.1.1.1',
    'fd00::1',
    'fe80::1%eth0',
    'unknown.example'
  ])('has nothing against %s', async (host) => expect(await publicAddress(host, names)).toBeUndefined())
})
