import { isLocalAddress } from '../target/addresses.js'
import type { ServerOptions, TargetOptions } from '../target/options.js'
import { realPlace } from '../target/real-place.js'
import { formatSize } from '../util/units.js'
import type { BannerFacts, BannerTarget, DiskUse } from './banner.js'
import { ownAddresses, type OwnAddress } from './host/addresses.js'
import { originOf } from './host/lease.js'
import { placeOf, type Place } from './host/place.js'
import type { System } from './host/system.js'
import type { Invocation } from './recipes/autostart.js'
import type { BannerText } from './text/text.js'

export interface BannerSources {
  readonly options: ServerOptions
  /** What the server listens on. */
  readonly listening: readonly { readonly address: string; readonly port: number }[]
  readonly system: System
  readonly invocation: Invocation | undefined
  /** Size of an image in bytes; undefined when it is not known. */
  readonly sizeOf: (path: string) => Promise<number | undefined>
}

/** Finds out what the banner tells. Asks other programs, so it runs when the clients are served already. */
export async function bannerFacts(sources: BannerSources, text: BannerText): Promise<BannerFacts> {
  const { options, listening, system, invocation, sizeOf } = sources
  const reachable = reachableAddresses(await ownAddresses(system), listening)
  const loopbackOnly = listening.every(({ address }) => /^(127\.|::1$)/.test(address))
  const { host, port = listening[0]?.port ?? 0 } = advertised(options.advertise)
  const addresses = host === undefined ? reachable.map(({ address }) => address) : [host]
  if (loopbackOnly && host === undefined) addresses.push(...listening.map(({ address }) => address))
  return {
    platform: system.platform,
    targets: await Promise.all(options.targets.map((target) => describeTarget(target, text, sizeOf))),
    addresses,
    loopbackOnly,
    port,
    warnings: [
      ...(host === undefined ? await dhcpWarning(system, reachable[0], text) : []),
      ...(await placeWarnings(system, options, text))
    ],
    invocation
  }
}

/** Those of our addresses that somebody can connect to, in their order. */
function reachableAddresses(
  own: readonly OwnAddress[],
  listening: readonly { readonly address: string }[]
): readonly OwnAddress[] {
  const places = new Set(listening.map(({ address }) => address))
  // Node lets :: take IPv4 as well.
  const families = new Set([
    ...(places.has('0.0.0.0') || places.has('::') ? [4] : []),
    ...(places.has('::') ? [6] : [])
  ])
  return own.filter(({ address, family }) => families.has(family) || places.has(address))
}

function advertised(text: string | undefined): { readonly host?: string; readonly port?: number } {
  if (text === undefined) return {}
  const [, host, port] = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(text) ?? [undefined, text]
  const plain = host.replace(/^\[|\]$/g, '')
  return port === undefined ? { host: plain } : { host: plain, port: Number(port) }
}

async function describeTarget(
  { name, units, access, authors }: TargetOptions,
  text: BannerText,
  sizeOf: BannerSources['sizeOf']
): Promise<BannerTarget> {
  const images = units.map(async ({ path, partition, readOnly, shared }) => {
    const size = await sizeOf(path)
    const facts = [
      ...(size === undefined ? [] : [formatSize(size)]),
      ...(partition === undefined ? [] : [text.partition(partition)]),
      ...(shared ? [text.shared] : []),
      ...(readOnly ? [text.readOnly] : [])
    ]
    return facts.length === 0 ? path : `${path} (${facts.join(', ')})`
  })
  return {
    name,
    images: await Promise.all(images),
    uses: [...new Set(units.map(useOf))],
    allow: access.allow,
    chapUser: access.chap?.user,
    mutual: access.mutual !== undefined,
    hasAuthors: authors.length > 0
  }
}

/** What is read only is so for all, whether they share it or not. */
function useOf({ readOnly, shared }: TargetOptions['units'][number]): DiskUse {
  if (readOnly) return 'read-only'
  return shared ? 'shared' : 'private'
}

async function dhcpWarning(system: System, own: OwnAddress | undefined, text: BannerText): Promise<string[]> {
  if (own === undefined || own.family === 6 || !isLocalAddress(own.address, system.interfaces())) return []
  const origin = await originOf(system, own.interfaceName, own.address)
  return origin === 'dhcp' ? [text.dhcp(own.address)] : []
}

const PLACE_WARNINGS: Readonly<
  Partial<Record<Place['kind'], (text: BannerText, what: string, path: string, name: string) => string>>
> = {
  fat: (text, what, path, name) => text.fat(what, path, name),
  network: (text, what, path, name) => text.network(what, path, name),
  synced: (text, what, path, name) => text.synced(what, path, name),
  memory: (text, what, path) => text.memory(what, path)
}

async function placeWarnings(system: System, options: ServerOptions, text: BannerText): Promise<string[]> {
  const images = options.targets.flatMap(({ units }) => units.map(({ path }) => path))
  // Beside the images the state lies where they lie, and one warning does.
  const state = options.stateDirectory === undefined ? [] : [options.stateDirectory]
  const asked = [
    ...images.filter((path) => !/^[a-z][a-z0-9+.-]+:/i.test(path)).map((path) => [text.image, path] as const),
    ...state.map((path) => [text.state, path] as const)
  ]
  const warnings = asked.map(async ([what, path]) => {
    const { kind, name } = await placeOf(system, await realPlace(path))
    return PLACE_WARNINGS[kind]?.(text, what, path, name) ?? []
  })
  return [...new Set((await Promise.all(warnings)).flat())]
}
