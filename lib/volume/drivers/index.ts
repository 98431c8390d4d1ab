import { statSync } from 'node:fs'
import { IscsiError } from '../../util/errors.js'
import type { Volume } from '../volume.js'
import { blockDeviceDriver } from './block-device.js'
import { defineDriver, type Driver, type DriverOptions } from './driver.js'
import { fileDriver } from './file.js'
import { memoryDriver } from './memory.js'
import { zeroDriver } from './zero.js'

export { defineDriver, type Driver, type DriverOptions }

/** Every driver. To add one: its file, and a line here; the contract suite runs over this list. */
export const drivers: readonly Driver[] = [fileDriver, blockDeviceDriver, memoryDriver, zeroDriver]

/**
 * A volume, not open yet, from `SCHEME:LOCATION` or a bare path, which is a block device if it is one now and an image
 * file otherwise. A path that begins like a scheme can be written with `./` or `file:` in front.
 * @param extra - drivers of one's own; they win over ours
 */
export function openDriver(spec: string, options: DriverOptions, extra: readonly Driver[] = []): Volume {
  if (spec === '') throw new IscsiError('ERR_ISCSI_BAD_LUN', 'an image has no name: write a path, or SCHEME:LOCATION')
  const { driver, location } = named(spec, [...extra, ...drivers])
  if (location !== '') return driver.open(location, options)
  throw new IscsiError('ERR_ISCSI_BAD_LUN', `'${spec}' is not complete: write ${driver.scheme}:${driver.title}`)
}

function named(spec: string, known: readonly Driver[]): { driver: Driver; location: string } {
  const colon = spec.indexOf(':')
  const driver = known.find(({ scheme }) => scheme === spec.slice(0, colon))
  if (driver) return { driver, location: spec.slice(colon + 1) }
  return { driver: isDevice(spec) ? blockDeviceDriver : fileDriver, location: spec }
}

function isDevice(path: string): boolean {
  // Windows' names of whole disks cannot be looked at without opening them.
  if (/^\\\\\.\\PhysicalDrive\d+$/i.test(path)) return true
  try {
    return statSync(path).isBlockDevice()
  } catch {
    return false
  }
}
