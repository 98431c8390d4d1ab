import { posix, win32 } from 'node:path'
import { kindOfFileSystem, mountOf } from '../../util/file-systems.js'
import { parseMountInfo } from '../../util/mount-info.js'
import { powerShell, type System } from './system.js'

/** What a path lies on, as far as it matters: `name` is for people, such as "vfat" or "OneDrive". */
export interface Place {
  readonly kind: 'local' | 'fat' | 'network' | 'synced' | 'memory' | 'unknown'
  readonly name: string
}

/** Folders that a program copies to a cloud, by the name of the folder in the path. */
const SYNCED: readonly (readonly [RegExp, string])[] = [
  [/^OneDrive( - .*)?$/i, 'OneDrive'],
  [/^Dropbox( \(.*\))?$/i, 'Dropbox'],
  [/^(Google ?Drive|My Drive|내 드라이브|GoogleDrive-.*)$/i, 'Google Drive'],
  [/^(iCloud ?Drive|Mobile Documents|com~apple~CloudDocs)$/i, 'iCloud'],
  [/^((네이버 ?)?(Naver ?)?MYBOX|Naver ?Cloud|N드라이브)( .*)?$/i, 'Naver MYBOX'],
  [/^Nextcloud$/i, 'Nextcloud'],
  [/^CloudStorage$/, 'CloudStorage']
]
/** Windows tells where OneDrive is, whatever the folder is called. */
const ONE_DRIVE_VARIABLES = ['OneDrive', 'OneDriveConsumer', 'OneDriveCommercial'] as const
/** Syncthing leaves this in the root of each of its folders. */
const SYNCTHING_MARKER = '.stfolder'

/** @param path - absolute and real; it exists, or its folder does */
export async function placeOf(system: System, path: string): Promise<Place> {
  return (await syncedPlace(system, path)) ?? (await FILE_SYSTEMS[system.platform]?.(system, path)) ?? UNKNOWN
}

const UNKNOWN: Place = { kind: 'unknown', name: '' }

async function syncedPlace(system: System, path: string): Promise<Place | undefined> {
  const { sep, dirname } = system.platform === 'win32' ? win32 : posix
  const parts = path.split(sep)
  for (const [pattern, name] of SYNCED) {
    if (parts.some((part) => pattern.test(part))) return { kind: 'synced', name }
  }
  const roots = ONE_DRIVE_VARIABLES.flatMap((name) => system.environment[name] ?? [])
  if (roots.some((root) => path.toLowerCase().startsWith(`${root.toLowerCase()}${sep}`))) {
    return { kind: 'synced', name: 'OneDrive' }
  }
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if ((await system.list(folder)).includes(SYNCTHING_MARKER)) return { kind: 'synced', name: 'Syncthing' }
  }
  return undefined
}

const FILE_SYSTEMS: Readonly<
  Partial<Record<NodeJS.Platform, (system: System, path: string) => Promise<Place | undefined>>>
> = {
  linux: onLinux,
  win32: onWindows,
  darwin: onMacOs
}

/** The last mount at a place hides others. */
async function onLinux(system: System, path: string): Promise<Place | undefined> {
  const found = mountOf(path, parseMountInfo((await system.read('/proc/self/mountinfo')) ?? ''))
  return found && placeOfType((found.type === 'fuseblk' && (await typeOnDevice(system, found.number))) || found.type)
}

/** A file system of a program is only called `fuseblk`, whether NTFS or exFAT; udev has looked at the device itself. */
async function typeOnDevice(system: System, number: string): Promise<string | undefined> {
  return /^E:ID_FS_TYPE=(\S+)$/m.exec((await system.read(`/run/udev/data/b${number}`)) ?? '')?.[1]
}

/** `//user@server/share on /Volumes/share (smbfs, nodev, …)`. */
async function onMacOs(system: System, path: string): Promise<Place | undefined> {
  const outcome = await system.run('mount', [])
  const mounts = (outcome?.output ?? '').split('\n').flatMap((line) => {
    const [, point, type] = / on (\/.*) \((\w+)/.exec(line) ?? []
    return point === undefined ? [] : [{ mountPoint: point, type: type! }]
  })
  const found = mountOf(path, mounts)
  return found && placeOfType(found.type)
}

/** .NET tells it in one word each, and in English. */
async function onWindows(system: System, path: string): Promise<Place | undefined> {
  if (/^\\\\(?![?.]\\)/.test(path)) return { kind: 'network', name: win32.parse(path).root }
  const [, letter] = /^(?:\\\\\?\\)?([A-Za-z]):/.exec(path) ?? []
  if (letter === undefined) return undefined
  const output = await powerShell(
    system,
    `[IO.DriveInfo]'${letter}:' | ForEach-Object { $_.DriveType; $_.DriveFormat }`
  )
  const [type, format] = output?.split(/\r?\n/).map((line) => line.trim()) ?? []
  if (type === undefined || format === undefined) return undefined
  return type === 'Network' ? { kind: 'network', name: `${letter.toUpperCase()}:` } : placeOfType(format)
}

function placeOfType(type: string): Place {
  const kind = kindOfFileSystem(type)
  return { kind: kind === 'copy-on-write' ? 'local' : kind, name: type }
}
