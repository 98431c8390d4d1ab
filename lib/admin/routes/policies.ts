import { POLICIES, RESTORE_ON, type PolicyView } from '../../target/control.js'
import {
  optionalChoice,
  optionalCount,
  optionalSwitch,
  optionalText,
  refuseOthers,
  textField,
  type Route
} from '../route.js'

/** `GET /v1/policies`: what becomes of the writes of whom, for each target. */
export interface PoliciesAnswer {
  readonly targets: readonly PolicyView[]
}

/** `POST /v1/policies` with `{ match, target?, lun?, policy?, restoreOn?, remove? }` answers what holds then. */
export const policies: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/policies',
    async answer(_request, { control }): Promise<PoliciesAnswer> {
      return { targets: await control.policies() }
    }
  },
  {
    method: 'POST',
    path: '/v1/policies',
    async answer({ body }, { control }): Promise<PoliciesAnswer> {
      refuseOthers(body, ['match', 'target', 'lun', 'policy', 'restoreOn', 'remove', 'by'])
      const targets = await control.setPolicy({
        match: textField(body, 'match'),
        target: optionalText(body, 'target'),
        lun: optionalCount(body, 'lun'),
        policy: optionalChoice(body, 'policy', POLICIES),
        restoreOn: optionalChoice(body, 'restoreOn', RESTORE_ON),
        remove: optionalSwitch(body, 'remove'),
        by: optionalText(body, 'by')
      })
      return { targets }
    }
  }
]
