import { columnsOf, padded, wrap } from './columns.js'
import { autostart, type Invocation } from './recipes/autostart.js'
import { bootWithIpxe } from './recipes/ipxe.js'
import { connectFromLinux, disconnectFromLinux } from './recipes/linux.js'
import { startQemu } from './recipes/qemu.js'
import { OTHER_SECRET, SECRET, SECRET_FILE, type Share } from './recipes/share.js'
import { connectFromWindows, disconnectFromWindows, openWindowsFirewall } from './recipes/windows.js'
import type { BannerText } from './text/text.js'

/** All that the banner tells, found out before (banner-facts.ts). */
export interface BannerFacts {
  readonly platform: NodeJS.Platform
  readonly targets: readonly BannerTarget[]
  /** The ones that others can use, best first; empty when there is no network. */
  readonly addresses: readonly string[]
  /** Nobody but this PC can come in. */
  readonly loopbackOnly: boolean
  readonly port: number
  /** Sentences, in the language of the text. */
  readonly warnings: readonly string[]
  readonly invocation: Invocation | undefined
}

export type DiskUse = 'private' | 'shared' | 'read-only'

export interface BannerTarget {
  readonly name: string
  /** A line for each image: path and size. */
  readonly images: readonly string[]
  /** How its disks are used; each use once. */
  readonly uses: readonly DiskUse[]
  /** As in AccessOptions. */
  readonly allow: readonly string[]
  readonly chapUser: string | undefined
  readonly mutual: boolean
  readonly hasAuthors: boolean
}

/** Prose becomes no wider than this, however wide the window is. */
const PROSE_COLUMNS_MAX = 100
const INDENT = '  '

/**
 * What a person sees on the first day. Prose is fitted to the window; a line to paste is never broken, because half a
 * command is none.
 * @param columns - of the terminal
 */
export function bannerLines(facts: BannerFacts, text: BannerText, columns: number): readonly string[] {
  const width = Math.max(20, Math.min(columns, PROSE_COLUMNS_MAX))
  return [
    '',
    ...factLines(facts, text, width),
    ...facts.warnings.flatMap((warning) => ['', ...wrap(`${text.warning}: ${warning}`, width)]),
    ...connectLines(facts, text, width),
    ...ownerLines(facts, text, width),
    ''
  ]
}

/** How open a target is; where there is no banner the log tells it. */
export function openness({ allow, chapUser }: BannerTarget, text: BannerText): string {
  const everyone = allow.includes('*')
  if (chapUser === undefined && everyone) return text.openToWorld
  if (chapUser === undefined && allow.length === 0) return text.openToNetwork
  const who = allow.length === 0 ? text.nearOnly : allow.join(', ')
  return chapUser === undefined ? text.openTo(who) : text.withChap(who, chapUser)
}

function factLines(facts: BannerFacts, text: BannerText, width: number): string[] {
  const rows = facts.targets.flatMap((target): (readonly [string, string])[] => [
    ...target.images.map((image) => [text.facts.image, image] as const),
    [text.facts.name, target.name],
    [text.facts.open, facts.loopbackOnly ? text.onlyThisPc : openness(target, text)]
  ])
  const [first, ...others] = facts.addresses
  rows.push([text.facts.address, first === undefined ? text.noAddress : text.port(first, facts.port)])
  if (others.length > 0) rows.push(['', text.also(others.join(', '))])
  const left = 2 + Math.max(...rows.map(([name]) => columnsOf(name)))
  const lines = rows.flatMap(([name, value]) =>
    wrap(value, Math.max(20, width - left - INDENT.length)).map(
      (line, i) => `${padded(i === 0 ? name : '', left)}${line}`
    )
  )
  return ['Cloud-x', ...lines.map((line) => INDENT + line), ...wrap(promise(usesOf(facts), text), width)]
}

function usesOf({ targets }: BannerFacts): ReadonlySet<DiskUse> {
  return new Set(targets.flatMap(({ uses }) => uses))
}

/** What becomes of what a client writes. */
function promise(uses: ReadonlySet<DiskUse>, text: BannerText): string {
  if (uses.has('private')) return uses.size === 1 ? text.promise : text.promiseOfSome
  return uses.has('shared') ? text.promiseShared : text.promiseReadOnly
}

function howToFill(facts: BannerFacts, text: BannerText): string {
  const uses = usesOf(facts)
  const [address = '127.0.0.1'] = facts.addresses
  if (uses.has('private')) {
    return facts.targets.some(({ hasAuthors }) => hasAuthors) ? text.authorIs : text.author(address, facts.port)
  }
  return uses.has('shared') ? text.authorOfShared(address, facts.port) : text.authorOfReadOnly
}

function connectLines({ targets, addresses, port }: BannerFacts, text: BannerText, width: number): string[] {
  const [target, ...others] = targets
  const [host] = addresses
  if (target === undefined || host === undefined) return []
  const share: Share = { targetName: target.name, host, port, chapUser: target.chapUser, mutual: target.mutual }
  const hints = [
    ...(target.chapUser === undefined ? [] : [text.secretHint(SECRET), text.qemuHint(SECRET_FILE)]),
    ...(target.mutual ? [text.mutualHint(OTHER_SECRET)] : []),
    ...(others.length === 0 ? [] : [text.otherTargets(others.map(({ name }) => name).join(', '))])
  ]
  return [
    ...block(text.windows, connectFromWindows(share), width),
    ...block(text.windowsLeave, disconnectFromWindows(share), width).slice(1),
    ...block(text.linux, connectFromLinux(share), width),
    ...block(text.linuxLeave, disconnectFromLinux(share), width).slice(1),
    // Neither QEMU nor iPXE knows the second direction of CHAP under these names.
    ...(target.mutual ? [] : block(text.qemu, [startQemu(share)], width)),
    ...(target.mutual ? [] : block(text.ipxe, bootWithIpxe(share), width)),
    ...(hints.length === 0 ? [] : ['', ...hints.flatMap((hint) => wrap(hint, width))])
  ]
}

function ownerLines(facts: BannerFacts, text: BannerText, width: number): string[] {
  const { platform, targets, port, loopbackOnly, invocation } = facts
  const start = invocation && autostart(platform, invocation)
  const remotes = targets.flatMap(({ allow }) => allow)
  // A name is no address: then the network around has to be let in.
  const ranges = remotes.every((entry) => /^[\da-f.:/]+$/i.test(entry)) ? remotes : []
  return [
    ...(platform === 'win32' && !loopbackOnly ? block(text.firewall, [openWindowsFirewall(port, ranges)], width) : []),
    '',
    ...wrap(howToFill(facts, text), width),
    '',
    ...wrap(text.ends, width),
    ...(start === undefined
      ? []
      : block(platform === 'win32' ? text.autostartWindows : text.autostart, [start], width).slice(1))
  ]
}

function block(title: string, lines: readonly string[], width: number): string[] {
  return ['', ...wrap(`${title}:`, width), ...lines.map((line) => INDENT + line)]
}
