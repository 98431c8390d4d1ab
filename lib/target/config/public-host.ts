import { lookup as systemLookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { isNearAddress, plainAddress } from '../addresses.js'

/** Every address of the PC: what clients may come in by is judged one by one at their login. */
const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

export type Lookup = (host: string) => Promise<{ readonly address: string }>

/**
 * The address of a `--host` that the whole Internet can reach, or undefined when it cannot, or when the name is not
 * known (listening will say so).
 */
export async function publicAddress(host: string, lookup: Lookup = systemLookup): Promise<string | undefined> {
  const address = isIP(host.replace(/%.*$/, '')) ? host : await lookup(host).then((found) => found.address, unknown)
  if (address === undefined) return undefined
  const plain = plainAddress(address)
  return UNSPECIFIED.has(plain) || isNearAddress(plain) ? undefined : plain
}

function unknown(): undefined {
  return undefined
}
