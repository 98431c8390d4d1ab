import { describe, expect, it } from '@jest/globals'
import { AddressSet, formatAddress, isLocalAddress, isNearAddress, plainAddress } from '../../lib/target/addresses.js'

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

describe('isNearAddress', () => {
  // The first and last address of each range, and their neighbours outside.
  it.each([
    ...['10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255'],
    ...['127.0.0.0', '127.255.255.255', '169.254.0.0', '169.254.255.255', '::1', '::ffff:10.1.2.3'],
    ...['fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'fe80::1%eth0', 'febf::1']
  ])('has %s', (address) => expect(isNearAddress(address)).toBe(true))
  it.each([
    ...['9.255.255.255', '11.0.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0'],
    ...['126.255.255.255', '128.0.0.0', '169.253.255.255', '169.255.0.0', '::', '::2', '::ffff:8.8.8.8'],
    ...['fbff::1', 'fe00::1', 'fe7f::1', 'fec0::1', '2001:db8::1', '100.64.0.1', '0.0.0.0', 'localhost', '']
  ])('has not "%s"', (address) => expect(isNearAddress(address)).toBe(false))
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
