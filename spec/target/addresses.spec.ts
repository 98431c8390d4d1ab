import { describe, expect, it } from '@jest/globals'
import { AddressSet, formatAddress, isLocalAddress, plainAddress } from '../../lib/target/addresses.js'

describe('plainAddress', () => {
  it.each([
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:db8::1', '2001:db8::1']
  ])('makes %s to %s', (address, plain) => expect(plainAddress(address)).toBe(plain))
})

describe('formatAddress', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1:3260'],
    ['2001:db8::1', '[2001:db8::1]:3260'],
    ['pc.example', 'pc.example:3260']
  ])('writes %s as %s', (host, text) => expect(formatAddress(host, 3260)).toBe(text))
})

describe('isLocalAddress', () => {
  const interfaces = { lan: [{ address: '192.0.2.5' }, { address: 'fe80::5%lan' }] } as never
  it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '192.0.2.5', 'fe80::5', '::ffff:192.0.2.5'])(
    'knows %s as this PC',
    (address) => expect(isLocalAddress(address, interfaces)).toBe(true)
  )
  it.each(['192.0.2.6', '128.0.0.1', '::2', 'localhost', ''])('does not take "%s" for this PC', (address) =>
    expect(isLocalAddress(address, interfaces)).toBe(false)
  )
})

describe('AddressSet', () => {
  const set = new AddressSet()
  for (const entry of ['192.0.2.0/25', '2001:db8::/32', '198.51.100.7', '::1']) expect(set.add(entry)).toBe(true)

  it.each(['192.0.2.0', '192.0.2.127', '::ffff:192.0.2.3', '2001:db8:ffff::1', '198.51.100.7', '::1'])(
    'has %s',
    (address) => expect(set.has(address)).toBe(true)
  )
  it.each(['192.0.2.128', '2001:db9::1', '198.51.100.8', '::2', 'x', ''])('does not have "%s"', (address) =>
    expect(set.has(address)).toBe(false)
  )
  it.each(['192.0.2.0/33', '2001:db8::/129', '192.0.2.0/', '192.0.2.0/-1', '192.0.2.0/8/8', '192.0.2', 'pc', '', '/8'])(
    'refuses "%s"',
    (entry) => expect(new AddressSet().add(entry)).toBe(false)
  )
})
