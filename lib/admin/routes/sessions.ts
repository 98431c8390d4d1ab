import type { SessionView } from '../../target/control.js'
import type { Route } from '../route.js'

/** `GET /v1/sessions`: who is logged in. */
export interface SessionsAnswer {
  readonly sessions: readonly SessionView[]
}

export const sessions: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/sessions',
    async answer(_request, { control }): Promise<SessionsAnswer> {
      return { sessions: await control.sessions() }
    }
  }
]
