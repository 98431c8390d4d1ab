import type { ImageView, PushView, ServerView, SpaceView, TargetView } from '../../target/control.js'
import type { Route } from '../route.js'

/** `GET /v1/status`: the server at a glance. */
export interface StatusAnswer extends ServerView {
  /** Of the program. */
  readonly version: string
  readonly pid: number
  readonly targets: readonly TargetView[]
  readonly space: readonly SpaceView[]
  /** Normal sessions. */
  readonly sessionCount: number
  /** Initiators that have a delta, with a session or without. */
  readonly deltaCount: number
  /** Memory that finds what the deltas of clients hold that are open. */
  readonly mapBytes: number
  readonly bin: { readonly count: number; readonly bytes: number }
  /** Images whose clients will be asked, or should have been, to log in again. */
  readonly pushes: readonly (PushView & { readonly path: string })[]
}

export const status: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/status',
    async answer(_request, { control, version }): Promise<StatusAnswer> {
      const [server, targets, space, sessions, initiators, bin, images] = await Promise.all([
        control.server(),
        control.targets(),
        control.space(),
        control.sessions(),
        control.initiators(),
        control.bin(),
        control.images()
      ])
      return {
        ...server,
        version,
        pid: process.pid,
        targets,
        space,
        sessionCount: sessions.filter(({ type }) => type === 'Normal').length,
        deltaCount: initiators.filter(({ units }) => units.some(({ stored }) => stored)).length,
        mapBytes: initiators.flatMap(({ units }) => units).reduce((sum, { mapBytes = 0 }) => sum + mapBytes, 0),
        bin: { count: bin.length, bytes: bin.reduce((sum, { bytes }) => sum + bytes, 0) },
        pushes: images.flatMap(plannedPush)
      }
    }
  }
]

function plannedPush({ path, push }: ImageView): StatusAnswer['pushes'] {
  return push?.state === 'planned' || push?.state === 'missed' ? [{ path, ...push }] : []
}
