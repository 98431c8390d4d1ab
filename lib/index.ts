/** The public API. Everything else is inside and may change. */
export { IscsiServer, type ServerParts } from './target/server.js'
export type {
  AccessOptions,
  ChapCredentials,
  PortalAddress,
  ServerOptions,
  TargetOptions,
  UnitOptions
} from './target/options.js'
export type { Control, InitiatorFilter } from './target/control.js'
export { Volume, type Extent } from './volume/volume.js'
export { BlockIo } from './volume/block-io.js'
export { defineDriver, type Driver, type DriverOptions } from './volume/drivers/index.js'
export { defineCommand } from './scsi/command.js'
export { IscsiError } from './util/errors.js'
