import type { Route } from '../route.js'
import { deltas } from './deltas.js'
import { policies } from './policies.js'
import { images } from './images.js'
import { sessions } from './sessions.js'
import { status } from './status.js'

/** Every resource that can be asked for. */
export const routes: readonly Route[] = [...status, ...sessions, ...deltas, ...policies, ...images]
