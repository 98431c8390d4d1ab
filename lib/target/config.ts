/**
 * From what people write (command line, configuration file, environment) to {@link ServerOptions}: checked, with every
 * preset filled in. The command line wins over a target of the file, which wins over the top of the file, which wins
 * over the preset. All mistakes are told at once, each with its place and with what would be right.
 */
import { open } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import type { ProtocolLimits } from '../iscsi/limits.js'
import { codeOf } from '../util/errors.js'
import type { LogOptions } from '../util/log.js'
import { ConfigError, Problems } from './config/entries.js'
import type { Entries, Entry } from './config/entries.js'
import { readSecretFile, secretFromVariable } from './config/secret.js'
import type { SecretResult } from './config/secret.js'
import { settingOf, SETTINGS, UNIT_COUNT_MAX } from './config/settings.js'
import type { Setting, SettingKey, SettingValue } from './config/settings.js'
import { defaultTargetName } from './config/target-name.js'
import { unitPath } from './config/unit-path.js'
import { publicAddress } from './config/public-host.js'
import { CONFIG_BYTES_MAX, parseConfigFile } from './config/yaml-file.js'
import type { ConfigFile, TargetEntries } from './config/yaml-file.js'
import type { AccessOptions, ChapCredentials, ServerOptions, TargetOptions, UnitOptions } from './options.js'

export { ConfigError } from './config/entries.js'
export type { Entries, Entry } from './config/entries.js'

export interface ConfigSources {
  readonly commandLine: Entries
  /** undefined = no configuration file. */
  readonly configFile: string | undefined
  /** Where secrets may be: `CLOUDX_CHAP_SECRET`, `CLOUDX_CHAP_MUTUAL_SECRET`. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What a relative path of a configuration file starts from. */
  readonly directory: string
}

export interface Configuration {
  readonly server: ServerOptions
  readonly log: LogOptions
  readonly banner: BannerOptions
  /** Sentences for the log: what works but is unwise. */
  readonly warnings: readonly string[]
}

export interface BannerOptions {
  /** undefined = when standard output is a terminal. */
  readonly wanted: boolean | undefined
  /** undefined = the language of the system. */
  readonly language: 'en' | 'ko' | undefined
}

/** Reads and checks everything. Throws {@link ConfigError} with all that is wrong. */
export async function readConfiguration(sources: ConfigSources): Promise<Configuration> {
  const problems = new Problems()
  const file = await readFile(sources, problems)
  const reader = new ConfigurationReader(sources, file, problems)
  const configuration = await reader.read()
  problems.check()
  return configuration
}

async function readFile(sources: ConfigSources, problems: Problems): Promise<ConfigFile> {
  if (sources.configFile === undefined) return { top: new Map(), targets: undefined }
  const path = resolve(sources.directory, sources.configFile)
  const text = await readText(path, sources.configFile)
  return parseConfigFile(text, basename(path), path, problems)
}

async function readText(path: string, name: string): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      if ((await file.stat()).size > CONFIG_BYTES_MAX)
        throw new ConfigError([`${name}: is no configuration file, it is too long`])
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const reasons: Record<string, string> = {
      ENOENT: 'does not exist',
      EACCES: 'may not be read by this user',
      EISDIR: 'is a folder'
    }
    throw new ConfigError([
      `The configuration file ${name} ${reasons[codeOf(error)] ?? `cannot be read (${codeOf(error)})`}.`
    ])
  }
}

/** Places that are asked for a key, the strongest first. */
type Layers = readonly Entries[]

class ConfigurationReader {
  private readonly warnings: string[] = []
  private readonly serverLayers: Layers

  constructor(
    private readonly sources: ConfigSources,
    private readonly file: ConfigFile,
    private readonly problems: Problems
  ) {
    this.serverLayers = [sources.commandLine, file.top]
  }

  async read(): Promise<Configuration> {
    const server = await this.server()
    this.warnOfUnusedSecrets(server.targets)
    await this.refuseOpenToTheWorld(server.targets)
    this.warnOfBoot(server.targets)
    const banner = {
      wanted: this.value(this.serverLayers, 'banner'),
      language: this.value(this.serverLayers, 'language')
    }
    return { server, log: this.log(), banner, warnings: this.warnings }
  }

  private async server(): Promise<ServerOptions> {
    const layers = this.serverLayers
    const port = this.preset(layers, 'port')
    return {
      portals: this.hosts(layers).map((host) => ({ host, port })),
      advertise: this.value(layers, 'advertise'),
      stateDirectory: this.resolvedPath(layers, 'state-dir'),
      packetSizeBytes: this.preset(layers, 'packet-size'),
      initialR2T: this.preset(layers, 'initial-r2t'),
      immediateData: this.preset(layers, 'immediate-data'),
      maxSessions: this.preset(layers, 'max-sessions'),
      limits: this.limits(layers),
      cacheBytes: this.value(layers, 'cache'),
      warmUpBytes: this.preset(layers, 'warm-up'),
      graceMs: this.preset(layers, 'grace'),
      graceClosedMs: this.preset(layers, 'grace-closed'),
      ...this.retention(layers),
      deltaLimitBytes: this.value(layers, 'delta-limit'),
      deltaTotalBytes: this.value(layers, 'delta-total'),
      chunkBytes: this.preset(layers, 'chunk-size'),
      flushIntervalMs: this.preset(layers, 'flush-interval'),
      multipath: this.preset(layers, 'multipath'),
      workers: this.preset(layers, 'workers'),
      targets: this.refuseSharedTwins(await this.targets())
    }
  }

  /** Where keys are destroyed there is nothing to bring back, and whoever asks for both is to know. */
  private retention(layers: Layers): Pick<ServerOptions, 'undoMs' | 'shred'> {
    const undoMs = this.preset(layers, 'undo')
    if (!this.preset(layers, 'shred')) return { undoMs, shred: false }
    const [asked] = this.entries(layers, 'undo')
    if (asked && undoMs > 0) {
      this.problems.add(
        asked.where,
        'shred destroys the key of what is dropped, so nothing can be undone; leave one of them out'
      )
    }
    return { undoMs: 0, shred: true }
  }

  private limits(layers: Layers): ProtocolLimits {
    return {
      connections: this.value(layers, 'max-connections'),
      connectionsPerAddress: this.preset(layers, 'max-connections-per-address'),
      pendingLogins: this.preset(layers, 'max-pending-logins'),
      commands: this.preset(layers, 'max-commands'),
      waitingBytes: this.preset(layers, 'waiting-memory'),
      textBytes: this.preset(layers, 'max-text'),
      authenticationFailures: this.preset(layers, 'login-failures'),
      authenticationFailuresPerUser: this.preset(layers, 'login-failures-per-user')
    }
  }

  /** What initiators share is nobody's private view, and the disk of one target alone. */
  private refuseSharedTwins(targets: readonly TargetOptions[]): readonly TargetOptions[] {
    const units = targets.flatMap((target) => target.units)
    for (const { path } of units.filter(({ shared }) => shared)) {
      if (units.filter((unit) => unit.path === path).length < 2 || this.sharedTwins.has(path)) continue
      this.sharedTwins.add(path)
      this.problems.add(path, 'is shared, so it can stand once in all: an image is private or shared, never both')
    }
    return targets
  }
  private readonly sharedTwins = new Set<string>()

  /** Whoever sets a secret believes that it is asked for. */
  private warnOfUnusedSecrets(targets: readonly TargetOptions[]): void {
    const uses = [
      ['CLOUDX_CHAP_SECRET', 'chap-user', targets.some(({ access }) => access.chap)],
      ['CLOUDX_CHAP_MUTUAL_SECRET', 'chap-mutual-user', targets.some(({ access }) => access.mutual)]
    ] as const
    for (const [variable, key, used] of uses) {
      if (used || this.sources.environment[variable] === undefined) continue
      this.warnings.push(`${variable} is set but has no effect without ${key}; nobody is asked for this secret.`)
    }
  }

  /** Who boots how is not to be seen from here. */
  private warnOfBoot(targets: readonly TargetOptions[]): void {
    for (const { name, units, initiators } of targets) {
      const rules = initiators.filter(({ restoreOn }) => restoreOn === 'boot').map(({ match }) => match)
      const all = units.some(
        ({ restoreOn, readOnly, shared, personal }) => restoreOn === 'boot' && !readOnly && !shared && !personal
      )
      if (!all && rules.length === 0) continue
      this.warnings.push(
        `restore-on boot for ${all ? 'all clients' : rules.join(', ')} of ${name} needs clients that boot by iPXE: what any ` +
          'other one writes stays until it is away for longer than the grace time, or is dropped by order'
      )
    }
  }

  /** Without CHAP a name is all it takes, and a name is no proof: not for the whole Internet. */
  private async refuseOpenToTheWorld(targets: readonly TargetOptions[]): Promise<void> {
    const open = targets.find(({ access }) => access.chap === undefined)
    if (open === undefined) return
    for (const entry of this.entries(this.serverLayers, 'host')) {
      const address = await publicAddress(entry.text)
      if (address === undefined) continue
      this.problems.add(
        entry.where,
        `${address} is a public address, and ${open.name} asks nobody for a secret; add chap-user and ` +
          'chap-secret-file (cloudx secret new makes one)'
      )
    }
  }

  private log(): LogOptions {
    return {
      level: this.preset(this.serverLayers, 'log-level'),
      format: this.preset(this.serverLayers, 'log-format'),
      file: this.resolvedPath(this.serverLayers, 'log-file')
    }
  }

  private hosts(layers: Layers): readonly string[] {
    const hosts = this.list(layers, 'host')
    return hosts.length > 0 ? [...new Set(hosts)] : [SETTINGS.host.preset!]
  }

  private async targets(): Promise<readonly TargetOptions[]> {
    const { commandLine } = this.sources
    const described = this.file.targets
    if (described === undefined) return [await this.target(this.serverLayers, '--lun')]
    if (!this.canBeTold(described)) return []
    const targets: TargetOptions[] = []
    for (const { entries, where } of described) {
      targets.push(await this.target([commandLine, entries, this.file.top], where))
    }
    this.refuseTwins(targets, described)
    return targets
  }

  /** What can be true of one target alone must not stand where it would hold for several. */
  private canBeTold(described: readonly TargetEntries[]): boolean {
    const common = described.length === 1 ? [this.file.top] : [this.sources.commandLine, this.file.top]
    const keys = ['lun', 'target-name', 'alias'] as const
    const misplaced = common.flatMap((entries) => keys.flatMap((key) => entries.get(key)?.slice(0, 1) ?? []))
    for (const { where } of misplaced) {
      this.problems.add(where, 'does not tell which target is meant; write it into one of "targets:"')
    }
    return misplaced.length === 0
  }

  private refuseTwins(targets: readonly TargetOptions[], described: readonly TargetEntries[]): void {
    targets.forEach(({ name }, index) => {
      const first = targets.findIndex((other) => other.name === name)
      if (first === index) return
      this.problems.add(
        described[index]!.where,
        `the name ${name} is taken by the target at ${described[first]!.where}; give one of them another "target-name:"`
      )
    })
  }

  private async target(layers: Layers, where: string): Promise<TargetOptions> {
    const units = this.units(layers, where)
    const first = units[0]
    return {
      name: this.value(layers, 'target-name') ?? defaultTargetName(first?.path ?? '', first?.partition),
      alias: this.value(layers, 'alias'),
      units,
      access: await this.access(layers),
      authors: [...new Set(this.list(layers, 'author'))],
      initiators: this.list(layers, 'policy'),
      authorDiscards: this.preset(layers, 'author-discards')
    }
  }

  private units(layers: Layers, where: string): readonly UnitOptions[] {
    const entries = this.entries(layers, 'lun')
    if (entries.length === 0) this.problems.add(where, 'no image to share; write for example --lun ./share.img')
    if (entries.length > UNIT_COUNT_MAX) this.problems.add(where, `more than ${UNIT_COUNT_MAX} images in one target`)
    return entries.map((entry, lun) => this.unit(entry, lun, layers))
  }

  private unit(entry: Entry, lun: number, layers: Layers): UnitOptions {
    const { path, unit } = unitPath(entry, this.problems)
    const own = [unit, ...layers]
    const options: UnitOptions = {
      lun,
      path,
      partition: this.value([unit], 'partition'),
      readOnly: this.preset(own, 'read-only'),
      shared: this.preset([unit], 'shared'),
      personal: this.preset([unit], 'personal'),
      restoreOn: this.preset(own, 'restore-on'),
      removable: this.preset(own, 'removable'),
      thick: this.preset(own, 'thick'),
      allowSanitize: this.preset(own, 'allow-sanitize'),
      blockSize: this.preset(own, 'block-size'),
      createBytes: this.preset(own, 'size'),
      writeThrough: this.preset(own, 'write-through'),
      createBlank: this.preset(own, 'blank')
    }
    if (options.personal && (options.shared || options.readOnly)) {
      const other = options.shared ? 'shared' : 'read-only'
      this.problems.add(entry.where, `${path} cannot be personal and ${other}: nobody could write to a disk of his own`)
    }
    if (options.createBytes % options.blockSize !== 0) {
      const place = this.entries(own, 'size')[0]?.where ?? entry.where
      this.problems.add(place, `${options.createBytes} bytes is not a multiple of the block size, ${options.blockSize}`)
    }
    return options
  }

  private async access(layers: Layers): Promise<AccessOptions> {
    const allow = [...new Set(this.list(layers, 'allow'))]
    const chap = await this.credentials(layers, 'chap-user', 'chap-secret-file', 'CLOUDX_CHAP_SECRET')
    const mutual = await this.credentials(
      layers,
      'chap-mutual-user',
      'chap-mutual-secret-file',
      'CLOUDX_CHAP_MUTUAL_SECRET'
    )
    const where = this.entries(layers, 'chap-mutual-user')[0]?.where
    // RFC 7143 §9.2.1: with one secret for both directions a peer could be made to answer its own challenge.
    if (where !== undefined && chap && mutual?.secret.equals(chap.secret)) {
      this.problems.add(where, 'the two directions of CHAP must not have the same secret')
    }
    if (where !== undefined && this.entries(layers, 'chap-user').length === 0) {
      this.problems.add(
        where,
        'mutual CHAP also needs chap-user and its secret, because the initiator proves itself first'
      )
    }
    return { allow, chap, mutual }
  }

  private async credentials(
    layers: Layers,
    userKey: 'chap-user' | 'chap-mutual-user',
    fileKey: 'chap-secret-file' | 'chap-mutual-secret-file',
    variable: string
  ): Promise<ChapCredentials | undefined> {
    const user = this.value(layers, userKey)
    const userWhere = this.entries(layers, userKey)[0]?.where
    const fileEntry = this.entries(layers, fileKey)[0]
    if (user === undefined || userWhere === undefined) {
      if (fileEntry) this.problems.add(fileEntry.where, `a secret without a user; ${userKey} is missing`)
      return undefined
    }
    const result = await this.secret(fileEntry, variable)
    if (result === undefined) {
      this.problems.add(userWhere, `a user without a secret; give ${fileKey}, or set the variable ${variable}`)
      return undefined
    }
    if ('problem' in result) {
      this.problems.add(fileEntry?.where ?? userWhere, result.problem)
      return undefined
    }
    if (result.warning !== undefined) this.warnings.push(result.warning)
    return { user, secret: result.secret }
  }

  private async secret(fileEntry: Entry | undefined, variable: string): Promise<SecretResult | undefined> {
    if (fileEntry) return readSecretFile(resolve(fileEntry.directory, fileEntry.text))
    const value = this.sources.environment[variable]
    return value === undefined ? undefined : secretFromVariable(variable, value)
  }

  /** All values of a key from the strongest place that has it. */
  private entries(layers: Layers, key: SettingKey): readonly Entry[] {
    return layers.find((layer) => layer.has(key))?.get(key) ?? []
  }

  private list<K extends SettingKey>(layers: Layers, key: K): readonly SettingValue<K>[] {
    return this.entries(layers, key).flatMap((entry) => this.parsed(key, entry) ?? [])
  }

  private value<K extends SettingKey>(layers: Layers, key: K): SettingValue<K> | undefined {
    const entry = this.entries(layers, key)[0]
    return entry && this.parsed(key, entry)
  }

  /** The value of a setting that always has one. After a mistake the preset stands in, so that the check can go on. */
  private preset<K extends SettingKey>(layers: Layers, key: K): SettingValue<K> {
    const row: Setting<SettingValue<K>> = SETTINGS[key] as unknown as Setting<SettingValue<K>>
    return this.value(layers, key) ?? row.kind.parse(row.preset!)!
  }

  private resolvedPath(layers: Layers, key: 'state-dir' | 'log-file'): string | undefined {
    const entry = this.entries(layers, key)[0]
    const path = entry && this.parsed(key, entry)
    return path === undefined ? undefined : resolve(entry!.directory, path)
  }

  private parsed<K extends SettingKey>(key: K, entry: Entry): SettingValue<K> | undefined {
    const { kind } = settingOf(key)
    const value = kind.parse(entry.text) as SettingValue<K> | undefined
    if (value === undefined) this.refuse(entry, kind.expects)
    return value
  }

  /** A place is asked more than once (for each target, each unit); a mistake in it is told once. */
  private readonly refused = new Set<Entry>()
  private refuse(entry: Entry, expects: string): void {
    if (this.refused.has(entry)) return
    this.refused.add(entry)
    this.problems.add(entry.where, `"${shown(entry.text)}" must be ${expects}`)
  }
}

function shown(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
