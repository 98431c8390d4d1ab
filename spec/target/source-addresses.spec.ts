import { describe, expect, it } from '@jest/globals'
import { SourceAddresses, describeOneSource, type OneSource } from '../../lib/target/source-addresses.js'

const isLocal = (address: string) => address === '127.0.0.1'

/** Logs in one after the other, and answers what was said at each. */
function logins(...list: readonly (readonly [string, string, 'Discovery'?])[]): (OneSource | undefined)[] {
  const sources = new SourceAddresses()
  return list.map(([initiatorName, remoteAddress, type = 'Normal']) =>
    sources.add({ initiatorName, remoteAddress, type } as never, isLocal)
  )
}
const NAT = { clientCount: 3, address: '172.17.0.1' }

describe('SourceAddresses', () => {
  it('says once that all clients come from one address', () => {
    const from = '172.17.0.1'
    expect(logins(['a', from], ['b', from], ['b', from], ['c', from], ['d', from])).toEqual([
      ...[undefined, undefined, undefined, NAT, undefined]
    ])
  })

  it('says nothing of clients that come from several', () => {
    const said = logins(
      ['a', '172.17.0.1'],
      ['b', '172.17.0.1'],
      ['c', '172.17.0.9'],
      ['d', '172.17.0.1'],
      ['e', '172.17.0.1']
    )
    expect(said).toEqual([undefined, undefined, undefined, undefined, undefined])
  })

  it('counts neither this PC nor discovery', () => {
    const from = '172.17.0.1'
    expect(logins(['a', '127.0.0.1'], ['b', '127.0.0.1'], ['c', '127.0.0.1'], ['d', from])).toEqual(
      Array(4).fill(undefined)
    )
    expect(logins(['a', from], ['b', from], ['c', from, 'Discovery'], ['c', from])).toEqual([
      undefined,
      undefined,
      undefined,
      NAT
    ])
  })
})

it('says what that means and what helps', () => {
  expect(describeOneSource({ clientCount: 3, address: '172.17.0.1' })).toMatch(
    /^All 3 clients so far come from 172\.17\.0\.1: .*NAT.* use names and CHAP/
  )
})
