import type { BinView, InitiatorView, Undone } from '../../target/control.js'
import { optionalSwitch, optionalText, refuseOthers, textField, type Route } from '../route.js'

/** `GET /v1/deltas`: what clients have written, and what was dropped and can be had back. */
export interface DeltasAnswer {
  /** Initiators with a session, a delta or a changed identity. */
  readonly initiators: readonly InitiatorView[]
  readonly bin: readonly BinView[]
}

/** `POST /v1/deltas/undo` with `{ initiator, target?, discard? }`: takes the last restore of an initiator back. */
export type UndoAnswer = Undone

export const deltas: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/deltas',
    async answer(_request, { control }): Promise<DeltasAnswer> {
      const [initiators, bin] = await Promise.all([control.initiators(), control.bin()])
      return { initiators, bin }
    }
  },
  {
    method: 'POST',
    path: '/v1/deltas/undo',
    answer({ body }, { control }): Promise<UndoAnswer> {
      refuseOthers(body, ['initiator', 'target', 'discard'])
      return control.undo({
        initiator: textField(body, 'initiator'),
        target: optionalText(body, 'target'),
        discard: optionalSwitch(body, 'discard')
      })
    }
  }
]
