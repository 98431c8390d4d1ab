import { LOG_FORMATS, LOG_LEVELS } from '../../util/log.js'
import { RESTORE_ON } from '../policy.js'
import * as kinds from './kinds.js'
import type { Kind } from './kinds.js'

/**
 * Every setting, once. The command line makes an option of each row, the configuration file a key of the same name,
 * and the docs a line; a new setting is a row here and the place that reads it.
 */
export interface Setting<T> {
  readonly kind: Kind<T>
  readonly scope: Scope
  /** May be given several times; a list in the file. */
  readonly list?: boolean
  readonly group: Group
  /** For the help: what it does, in one line. */
  readonly about: string
  /** In the words of the file; undefined = the setting may be absent. */
  readonly preset?: string
}

/**
 * Where a key may stand: `server` at the top of the file, `target` there and in a target, `unit` there and in a unit,
 * `unit-only` nowhere but in a unit. The command line takes all but `unit-only`.
 */
export type Scope = 'server' | 'target' | 'unit' | 'unit-only'

export const GROUPS = ['Image', 'Network', 'Access', 'Delta', 'Limits', 'Server', 'Log'] as const
export type Group = (typeof GROUPS)[number]

const KIB = 2 ** 10
const MIB = 2 ** 20
/** LUNs are single-level addresses of peripheral device addressing (SAM-5 §4.7): 0 to 255. */
export const UNIT_COUNT_MAX = 256
/** More processes than one PC has processors for; each takes some 60 MiB. */
const WORKERS_MAX = 16
/** 8 PiB: every byte offset stays an exact number. */
const IMAGE_BYTES_MAX = 2 ** 53 - MIB

/** Keeps the value type of a row, so that a reader of a key gets it without a cast. */
function setting<T>(row: Setting<T>): Setting<T> {
  return row
}

export const SETTINGS = {
  lun: setting({
    kind: { ...kinds.path, placeholder: 'IMAGE' },
    scope: 'target',
    list: true,
    group: 'Image',
    about:
      'Share this image (repeat for LUN 0, 1, …); IMAGE,partition=N shares one partition of it, IMAGE,shared one disk for all, IMAGE,personal one for each that is kept'
  }),
  size: setting({
    kind: kinds.size(MIB, IMAGE_BYTES_MAX, 'a size from 1M such as 20G or 512M'),
    scope: 'unit',
    group: 'Image',
    about: 'Size of an image that does not exist yet; it is made as a drive, sparse',
    preset: '8G'
  }),
  blank: setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Image',
    about: 'A new image holds zeroes alone, not a drive (GPT, exFAT) with texts that explain it',
    preset: 'false'
  }),
  'block-size': setting({
    kind: kinds.oneOfNumbers(512, 4096),
    scope: 'unit',
    group: 'Image',
    about: 'Bytes of a logical block; 4096 gives a 4Kn disk',
    preset: '512'
  }),
  'read-only': setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Image',
    about: 'Refuse all writes, also private ones',
    preset: 'false'
  }),
  removable: setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Image',
    about: 'Show the disk as a removable medium, which clients can eject and load again',
    preset: 'false'
  }),
  thick: setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Image',
    about: 'Show the disk as fully provisioned: clients send no TRIM, and delete without giving space back',
    preset: 'false'
  }),
  'allow-sanitize': setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Image',
    about: 'Let clients use SANITIZE; on a private disk it wipes their view, on a shared one the image',
    preset: 'false'
  }),
  shared: setting({
    kind: kinds.onOff,
    scope: 'unit-only',
    group: 'Image',
    about: 'One disk for all initiators: their writes go into the image, for cluster file systems alone',
    preset: 'false'
  }),
  personal: setting({
    kind: kinds.onOff,
    scope: 'unit-only',
    group: 'Image',
    about: 'Each initiator has a disk of its own here that is kept, beside the others, which are restored',
    preset: 'false'
  }),
  partition: setting({
    kind: kinds.integer(1, 255),
    scope: 'unit-only',
    group: 'Image',
    about: 'Share this partition of the image alone, as a disk of its own'
  }),
  cache: setting({
    kind: kinds.size(0, 2 ** 40, 'a size such as 512M or 4G, or 0 for none'),
    scope: 'server',
    group: 'Image',
    about: 'Memory for one read cache of all images; without it only slow drivers get one'
  }),
  'warm-up': setting({
    kind: kinds.size(0, 2 * 1024 * MIB, 'a size up to 2G, or 0 for nothing'),
    scope: 'server',
    group: 'Image',
    about: 'Read this much of what clients read first last time ahead, at the start of the server; 0 turns it off',
    preset: '512M'
  }),

  'target-name': setting({
    kind: kinds.iscsiName,
    scope: 'target',
    group: 'Network',
    about: "Name of the target; made from the image's file name when absent"
  }),
  alias: setting({
    kind: kinds.text,
    scope: 'target',
    group: 'Network',
    about: 'Name for people (TargetAlias)'
  }),
  port: setting({
    kind: kinds.integer(0, 65535, 'PORT'),
    scope: 'server',
    group: 'Network',
    about: 'TCP port; 0 takes a free one',
    preset: '3260'
  }),
  host: setting({
    kind: kinds.host,
    scope: 'server',
    list: true,
    group: 'Network',
    about: 'Listen on this address alone (repeatable); 0.0.0.0 is every IPv4 address',
    preset: '0.0.0.0'
  }),
  advertise: setting({
    kind: kinds.advertised,
    scope: 'server',
    group: 'Network',
    about: 'Address to name in discovery instead of the one that the client reached'
  }),
  'packet-size': setting({
    kind: kinds.size(512, MIB, 'a size from 512 to 1M'),
    scope: 'server',
    group: 'Network',
    about: 'Longest data segment that we take (MaxRecvDataSegmentLength)',
    preset: '256K'
  }),
  'initial-r2t': setting({
    kind: kinds.onOff,
    scope: 'server',
    group: 'Network',
    about: 'Make initiators wait for R2T before they send data (InitialR2T)',
    preset: 'false'
  }),
  'immediate-data': setting({
    kind: kinds.onOff,
    scope: 'server',
    group: 'Network',
    about: 'Take data along with a command (ImmediateData)',
    preset: 'true'
  }),
  multipath: setting({
    kind: kinds.onOff,
    scope: 'server',
    group: 'Network',
    about: 'Let one initiator log in from several addresses at once',
    preset: 'false'
  }),

  allow: setting({
    kind: kinds.allowed,
    scope: 'target',
    list: true,
    group: 'Access',
    about: 'Let in only these initiators (repeatable): a name, with * at the end as wild card, or an address range'
  }),
  'chap-user': setting({
    kind: kinds.text,
    scope: 'target',
    group: 'Access',
    about: 'Demand CHAP: the user that initiators log in as'
  }),
  'chap-secret-file': setting({
    kind: kinds.path,
    scope: 'target',
    group: 'Access',
    about: 'File with the secret of that user, 12 to 255 bytes; or set CLOUDX_CHAP_SECRET'
  }),
  'chap-mutual-user': setting({
    kind: kinds.text,
    scope: 'target',
    group: 'Access',
    about: 'Mutual CHAP: the user that the target logs in as at the initiator'
  }),
  'chap-mutual-secret-file': setting({
    kind: kinds.path,
    scope: 'target',
    group: 'Access',
    about: 'File with the secret of that user; or set CLOUDX_CHAP_MUTUAL_SECRET'
  }),
  author: setting({
    kind: kinds.author,
    scope: 'target',
    list: true,
    group: 'Access',
    about: 'Writes of this initiator go into the image (repeatable); "local" is any initiator on this PC'
  }),
  policy: setting({
    kind: kinds.initiatorRule,
    scope: 'target',
    list: true,
    group: 'Access',
    about:
      'What becomes of the writes of these initiators (repeatable, first match wins): restore, keep, author or read-only; more behind it, as in IQN=restore,restore-on=boot,lun=1'
  }),
  'restore-on': setting({
    kind: kinds.oneOf(...RESTORE_ON),
    scope: 'unit',
    group: 'Delta',
    about: 'When what a client wrote is dropped: at its logout, when it boots by iPXE, or by order alone',
    preset: 'logout'
  }),
  'author-discards': setting({
    kind: kinds.onOff,
    scope: 'target',
    group: 'Access',
    about: 'An author drops the deltas that are in the way instead of being refused',
    preset: 'false'
  }),

  grace: setting({
    kind: kinds.duration,
    scope: 'server',
    group: 'Delta',
    about: 'How long the delta of a client that fell silent is kept',
    preset: '96h'
  }),
  'grace-closed': setting({
    kind: kinds.duration,
    scope: 'server',
    group: 'Delta',
    about: 'The same for a client that closed its connection without a logout',
    preset: '96h'
  }),
  undo: setting({
    kind: kinds.duration,
    scope: 'server',
    group: 'Delta',
    about: 'How long a dropped delta can be brought back; 0 deletes at once',
    preset: '1h'
  }),
  shred: setting({
    kind: kinds.onOff,
    scope: 'server',
    group: 'Delta',
    about:
      'Encrypt what clients write, each delta with its own key, which is destroyed when it is dropped; undo is off',
    preset: 'false'
  }),
  'delta-limit': setting({
    kind: kinds.size(MIB, IMAGE_BYTES_MAX),
    scope: 'server',
    group: 'Delta',
    about: 'Most that one initiator may write; without it only free disk space is the limit'
  }),
  'delta-total': setting({
    kind: kinds.size(MIB, IMAGE_BYTES_MAX),
    scope: 'server',
    group: 'Delta',
    about: 'Most that all initiators together may write'
  }),
  'chunk-size': setting({
    kind: kinds.powerOfTwo(4 * KIB, MIB, 'a power of two from 4K to 1M'),
    scope: 'server',
    group: 'Delta',
    about: 'Unit that new deltas are made of',
    preset: '4K'
  }),
  'flush-interval': setting({
    kind: kinds.duration,
    scope: 'server',
    group: 'Delta',
    about: 'How often unflushed writes are brought to the medium, for clients that do not ask for it; 0 = never',
    preset: '1s'
  }),
  'write-through': setting({
    kind: kinds.onOff,
    scope: 'unit',
    group: 'Delta',
    about: 'Bring every write to the medium before it is answered (no write cache, WCE=0)',
    preset: 'false'
  }),

  workers: setting({
    kind: kinds.integer(1, WORKERS_MAX),
    scope: 'server',
    group: 'Server',
    about: 'Processes that the clients are spread over, where one processor is not enough',
    preset: '1'
  }),

  'max-sessions': setting({
    kind: kinds.integer(1, 65535),
    scope: 'server',
    group: 'Limits',
    about: 'Sessions at a time, over all targets',
    preset: '256'
  }),
  'max-connections': setting({
    kind: kinds.integer(1, 2 * 65535),
    scope: 'server',
    group: 'Limits',
    about: 'TCP connections at a time; sessions and pending logins together when absent'
  }),
  'max-connections-per-address': setting({
    kind: kinds.integer(1, 2 * 65535),
    scope: 'server',
    group: 'Limits',
    about: 'The same from one address',
    preset: '256'
  }),
  'max-pending-logins': setting({
    kind: kinds.integer(1, 65535),
    scope: 'server',
    group: 'Limits',
    about: 'Connections that have not logged in; one more takes the place of the oldest',
    preset: '256'
  }),
  'max-commands': setting({
    kind: kinds.integer(1, 1024),
    scope: 'server',
    group: 'Limits',
    about: 'Commands that one session may have open (MaxCmdSN)',
    preset: '128'
  }),
  'waiting-memory': setting({
    kind: kinds.size(4 * MIB, 2 ** 40, 'a size from 4M such as 64M'),
    scope: 'server',
    group: 'Limits',
    about: 'Memory for data that waits for a slow disk, and as much again for data that waits for its initiator',
    preset: '64M'
  }),
  'max-text': setting({
    kind: kinds.size(8 * KIB, MIB, 'a size from 8K to 1M'),
    scope: 'server',
    group: 'Limits',
    about: 'Text that one login, or one Text exchange, may send',
    preset: '64K'
  }),
  'login-failures': setting({
    kind: kinds.integer(1, 1000),
    scope: 'server',
    group: 'Limits',
    about: 'Failed authentications in a second before an address has to wait',
    preset: '10'
  }),
  'login-failures-per-user': setting({
    kind: kinds.integer(1, 10000),
    scope: 'server',
    group: 'Limits',
    about: 'The same for one CHAP user, from whatever addresses',
    preset: '100'
  }),

  'state-dir': setting({
    kind: kinds.path,
    scope: 'server',
    group: 'Server',
    about: 'Folder of deltas and identities; <image>.cloudx beside the image when absent'
  }),

  banner: setting({
    kind: kinds.onOff,
    scope: 'server',
    group: 'Log',
    about: 'Print at start how to connect; when absent, if standard output is a terminal'
  }),
  language: setting({
    kind: kinds.oneOf('en', 'ko'),
    scope: 'server',
    group: 'Log',
    about: 'Language of what is printed at start; that of the system when absent'
  }),
  'log-level': setting({
    kind: kinds.oneOf(...LOG_LEVELS),
    scope: 'server',
    group: 'Log',
    about: 'Least important line that is written',
    preset: 'info'
  }),
  'log-format': setting({
    kind: kinds.oneOf(...LOG_FORMATS),
    scope: 'server',
    group: 'Log',
    about: 'Lines for people or for programs',
    preset: 'human'
  }),
  'log-file': setting({
    kind: kinds.path,
    scope: 'server',
    group: 'Log',
    about: 'Write the log to this file too; it is rotated at 10 MiB and five files are kept'
  })
} as const

export type SettingKey = keyof typeof SETTINGS
export type SettingValue<K extends SettingKey> = (typeof SETTINGS)[K] extends Setting<infer T> ? T : never

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[]

/** The row of a key, without its own value type. */
export function settingOf(key: SettingKey): Setting<unknown> {
  return SETTINGS[key]
}

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key)
}

/** True where the command line may have the setting. */
export function isOption(key: SettingKey): boolean {
  return settingOf(key).scope !== 'unit-only'
}
