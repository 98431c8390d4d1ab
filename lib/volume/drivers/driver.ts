import { IscsiError } from '../../util/errors.js'
import { parseSize } from '../../util/units.js'
import type { Volume } from '../volume.js'

export interface DriverOptions {
  readonly readOnly: boolean
  /** Only this partition will be used, so that others of the same disk may be mounted on this server. */
  readonly partition?: number
}

/** How a volume that ends at storage is named and made. */
export interface Driver {
  /** In front of the colon, two letters or more (one is a Windows drive). */
  readonly scheme: string
  /** One line for help texts: what stands behind the colon and what it is. */
  readonly title: string
  /** A volume that is not open yet. Throws an IscsiError for a location that can never be right. */
  open(location: string, options: DriverOptions): Volume
}

export function defineDriver(driver: Driver): Driver {
  return driver
}

/** Bytes from `65536`, `64M`, `64MiB` …, a multiple of 512, above zero. */
export function sizeOfLocation(scheme: string, location: string): number {
  const size = parseSize(location)
  if (size !== undefined && size > 0 && size % 512 === 0) return size
  throw new IscsiError(
    'ERR_ISCSI_BAD_SIZE',
    `'${scheme}:${location}' does not name a size: write for instance ${scheme}:64MiB, a multiple of 512 bytes`
  )
}
