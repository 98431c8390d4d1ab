import type { BinView, DeltaDetail, Dropped, InitiatorView, Undone } from '../../target/control.js'
import { optionalCount, optionalSwitch, optionalText, refuseOthers, textField, type Route } from '../route.js'

/** `GET /v1/deltas`: what clients have written, and what was dropped and can be had back. */
export interface DeltasAnswer {
  /** Initiators with a session, a delta or a changed identity. */
  readonly initiators: readonly InitiatorView[]
  readonly bin: readonly BinView[]
}

/** `POST /v1/deltas/undo` with `{ initiator, target?, discard? }`: takes the last restore of an initiator back. */
export type UndoAnswer = Undone

/** `POST /v1/deltas/show` with `{ initiator, target?, names?, by? }`: what one initiator has written, and where. */
export type ShowAnswer = DeltaDetail

/** `POST /v1/deltas/drop` with `{ initiator, target?, lun?, disconnect?, atNextLogin? }`. */
export type DropAnswer = Dropped

/** `POST /v1/deltas/export` with `{ initiator, target?, lun?, bin?, live?, by? }`: a disk as a copy (copy-stream.ts). */

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
      refuseOthers(body, ['initiator', 'target', 'discard', 'by'])
      return control.undo({
        ...whose(body),
        discard: optionalSwitch(body, 'discard')
      })
    }
  },
  {
    method: 'POST',
    path: '/v1/deltas/show',
    answer({ body }, { control }): Promise<ShowAnswer> {
      refuseOthers(body, ['initiator', 'target', 'names', 'by'])
      return control.show({ ...whose(body), names: optionalSwitch(body, 'names') })
    }
  },
  {
    method: 'POST',
    path: '/v1/deltas/drop',
    answer({ body }, { control }): Promise<DropAnswer> {
      refuseOthers(body, ['initiator', 'target', 'lun', 'disconnect', 'atNextLogin', 'by'])
      return control.drop({
        ...whose(body),
        lun: optionalCount(body, 'lun'),
        disconnect: optionalSwitch(body, 'disconnect'),
        atNextLogin: optionalSwitch(body, 'atNextLogin')
      })
    }
  },
  {
    method: 'POST',
    path: '/v1/deltas/export',
    stream({ body }, { control }) {
      refuseOthers(body, ['initiator', 'target', 'lun', 'bin', 'live', 'by'])
      return control.exportDelta(copyOf(body))
    }
  },
  {
    method: 'POST',
    path: '/v1/deltas/rescue',
    stream({ body }, { control }) {
      refuseOthers(body, ['initiator', 'target', 'lun', 'bin', 'live', 'path', 'partition', 'by'])
      return control.rescue({
        ...copyOf(body),
        path: textField(body, 'path'),
        partition: optionalCount(body, 'partition')
      })
    }
  }
]

function whose(body: unknown) {
  return {
    initiator: textField(body, 'initiator'),
    target: optionalText(body, 'target'),
    by: optionalText(body, 'by')
  }
}

/** Which of a client's disks, as it is now or as its last restore dropped it. */
function copyOf(body: unknown) {
  return {
    ...whose(body),
    lun: optionalCount(body, 'lun'),
    bin: optionalSwitch(body, 'bin'),
    live: optionalSwitch(body, 'live')
  }
}
