import { IscsiError } from '../util/errors.js'

/** What the server itself cannot do: a taken image, a bad state directory, an unknown initiator. `code` is stable. */
export class TargetError extends IscsiError {}
