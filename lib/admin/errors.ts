import { IscsiError } from '../util/errors.js'

/** A request that was not understood, or a server that was not reached. The code is stable. */
export class AdminError extends IscsiError {}
