import type { OneSource } from '../../target/source-addresses.js'

/** Every sentence that a person reads outside the log, once for each language: a table that misses one is no Text. */
export interface Text {
  readonly secret: SecretText
  readonly image: ImageText
  readonly banner: BannerText
  readonly doctor: DoctorText
}

export interface SecretText {
  made(path: string): string
  readonly use: string
  readonly clients: string
  readonly windowsAccess: string
  exists(path: string): string
}

/** What `cloudx image create` says; sizes are ready for people, such as `8 GiB`. */
export interface ImageText {
  blank(path: string, size: string): string
  empty(path: string, label: string, size: string): string
  filled(path: string, label: string, size: string, content: FolderContent): string
  /** A sentence about one name that was not taken along. */
  leftOut(sentence: string): string
  interrupted(path: string): string
}

export interface FolderContent {
  readonly fileCount: number
  readonly directoryCount: number
  readonly size: string
}

export interface BannerText {
  /** Names of the facts at the top. */
  readonly facts: {
    readonly image: string
    readonly name: string
    readonly address: string
    readonly open: string
  }
  readonly readOnly: string
  /** One disk for all clients, who write into the image. */
  readonly shared: string
  also(addresses: string): string
  port(address: string, port: number): string
  readonly noAddress: string
  readonly onlyThisPc: string
  // --- Who may come ---
  readonly openToNetwork: string
  readonly openToWorld: string
  openTo(entries: string): string
  readonly nearOnly: string
  withChap(who: string, user: string): string
  partition(number: number): string
  /** What becomes of what a client writes: on private disks, where some disks are not, and where none is. */
  readonly promise: string
  readonly promiseOfSome: string
  readonly promiseShared: string
  readonly promiseReadOnly: string
  // --- Warnings ---
  readonly warning: string
  dhcp(address: string): string
  fat(what: string, path: string, type: string): string
  network(what: string, path: string, name: string): string
  synced(what: string, path: string, name: string): string
  memory(what: string, path: string): string
  /** Found out by the logins. */
  oneSource(oneSource: OneSource): string
  readonly image: string
  readonly state: string
  // --- Lines to paste ---
  readonly windows: string
  readonly windowsLeave: string
  readonly linux: string
  readonly linuxLeave: string
  readonly qemu: string
  readonly ipxe: string
  readonly firewall: string
  secretHint(secret: string): string
  mutualHint(secret: string): string
  qemuHint(file: string): string
  otherTargets(names: string): string
  // --- Afterwards ---
  author(address: string, port: number): string
  readonly authorIs: string
  authorOfShared(address: string, port: number): string
  readonly authorOfReadOnly: string
  readonly ends: string
  readonly autostart: string
  readonly autostartWindows: string
}

export interface DoctorText {
  readonly states: { readonly ok: string; readonly problem: string; readonly unknown: string }
  readonly checks: Readonly<
    Record<
      | 'port'
      | 'firewall'
      | 'network-profile'
      | 'fixed-address'
      | 'sleep'
      | 'free-space'
      | 'state-file-system'
      | 'clock'
      | 'antivirus',
      string
    >
  >
  portFree(port: number, address: string): string
  portTaken(port: number): string
  portForbidden(port: number): string
  addressMissing(address: string): string
  portUnreachable(address: string, port: number): string
  readonly noNetwork: string
  readonly firewallOff: string
  firewallLets(port: number): string
  firewallBlocks(port: number): string
  readonly firewallUnknown: string
  readonly profilePrivate: string
  profilePublic(name: string): string
  readonly profileNone: string
  readonly profileUnknown: string
  addressFixed(address: string): string
  addressLent(address: string): string
  addressUnknown(address: string): string
  readonly sleepNever: string
  readonly sleepOn: string
  readonly sleepUnknown: string
  spaceEnough(free: string): string
  spaceShort(free: string, needed: string): string
  readonly spaceUnknown: string
  placeGood(type: string): string
  placeUnknown(path: string): string
  readonly clockRight: string
  readonly clockWrong: string
  readonly clockAlone: string
  readonly clockUnknown: string
  readonly antivirusNone: string
  antivirusHint(names: string): string
  readonly antivirusUnknown: string
  problems(count: number): string
  readonly allWell: string
}
