import { describe, expect, it } from '@jest/globals'
import type { Control } from '../../../lib/target/control.js'
import type { TargetOptions } from '../../../lib/target/options.js'
import { Shards } from '../../../lib/target/workers/shards.js'
import { WorkersControl } from '../../../lib/target/workers/workers-control.js'
import { codeOf } from '../../../lib/util/errors.js'

const NAMES = ['iqn.2026-01.org.example:a', 'iqn.2026-01.org.example:b']
const TARGETS = NAMES.map((name) => ({ name, units: [], authors: [], initiators: [] }) as unknown as TargetOptions)
const shards = new Shards(TARGETS, 2)

/** A control of two workers that answer what stands here, and the orders that they got. */
function controlOver(answers: readonly Partial<Record<keyof Control, unknown>>[]): {
  control: WorkersControl
  asked: [number, string, ...unknown[]][]
} {
  const asked: [number, string, ...unknown[]][] = []
  const local = {
    server: () => Promise.resolve({ startedAt: 7, portals: [], undoMs: 0 }),
    targets: () => Promise.resolve(NAMES.map((name) => ({ name, alias: undefined, units: [] }))),
    sessions: () => Promise.resolve([{ tsih: 1 }]),
    disconnect: () => Promise.resolve(1)
  } as unknown as Control
  const control = new WorkersControl(local, shards, (worker, verb, ...args) => {
    asked.push([worker, verb, ...args])
    return Promise.resolve(answers[worker]![verb as keyof Control])
  })
  return { control, asked }
}

describe('the control of a server with workers', () => {
  it('shows the sessions of all, and those of discovery', async () => {
    const { control } = controlOver([{ sessions: [{ tsih: 2 }, { tsih: 5 }] }, { sessions: [{ tsih: 3 }] }])
    expect((await control.sessions()).map(({ tsih }) => tsih)).toEqual([1, 2, 5, 3])
  })

  it('shows each target once, with the author that one of them has', async () => {
    const unit = (author?: string) => ({ lun: 0, path: '/a.img', author })
    const { control } = controlOver([
      { targets: [{ name: NAMES[0], units: [unit()] }] },
      {
        targets: [
          { name: NAMES[0], units: [unit('iqn.x:author')] },
          { name: NAMES[1], units: [unit()] }
        ]
      }
    ])
    const shown = await control.targets()
    expect(shown.map(({ name }) => name)).toEqual(NAMES)
    expect(shown[0]!.units.map(({ author }) => author)).toEqual(['iqn.x:author'])
  })

  it('adds up the room of each state directory', async () => {
    const { control } = controlOver([
      {
        space: [
          { path: '/s', usedBytes: 10, limitBytes: 100 },
          { path: '/t', usedBytes: 1, limitBytes: undefined }
        ]
      },
      { space: [{ path: '/s', usedBytes: 5, limitBytes: 50 }] }
    ])
    expect(await control.space()).toEqual([
      { path: '/s', usedBytes: 15, limitBytes: 150 },
      { path: '/t', usedBytes: 1, limitBytes: undefined }
    ])
  })

  it('shows the bin in the order in which things came in', async () => {
    const { control } = controlOver([{ bin: [{ id: 'c', binnedAt: 3 }] }, { bin: [{ id: 'a', binnedAt: 1 }] }])
    expect((await control.bin()).map(({ id }) => id)).toEqual(['a', 'c'])
  })

  it('adds up what an order has done', async () => {
    const { control, asked } = controlOver([
      { disconnect: 2, restore: { bytes: 5, tookMs: 3 } },
      { disconnect: 4, restore: { bytes: 7, tookMs: 9 } }
    ])
    const filter = { initiator: 'iqn.x:pc' }
    expect(await control.disconnect(filter)).toBe(7)
    expect(await control.restore(filter)).toEqual({ bytes: 12, tookMs: 9 })
    expect(asked).toEqual([
      [0, 'disconnect', filter],
      [1, 'disconnect', filter],
      [0, 'restore', filter],
      [1, 'restore', filter]
    ])
  })

  it('takes an undo to the one that has the initiator, at the target where it left something', async () => {
    const initiatorName = 'iqn.2026-01.org.example:pc-7'
    const owner = shards.ownerOf({ targetName: NAMES[1]!, initiatorName })
    const entry = { id: 'x', targetName: NAMES[1], initiatorName, binnedAt: 1 }
    const answers = [0, 1].map((worker) => ({ bin: worker === owner ? [entry] : [], initiators: [], undo: 'undone' }))
    const { control, asked } = controlOver(answers)
    expect(await control.undo({ initiator: initiatorName })).toBe('undone')
    expect(asked.filter(([, verb]) => verb === 'undo')).toEqual([
      [owner, 'undo', { initiator: initiatorName, target: NAMES[1] }]
    ])
  })

  it('refuses an undo of which nobody knows where', async () => {
    const initiatorName = 'iqn.2026-01.org.example:pc-7'
    const entries = NAMES.map((targetName) => ({ id: targetName, targetName, initiatorName, binnedAt: 1 }))
    const { control } = controlOver(entries.map((entry) => ({ bin: [entry], initiators: [] })))
    const error = await control.undo({ initiator: initiatorName }).catch((reason: unknown) => reason)
    expect(codeOf(error)).toBe('ERR_ISCSI_UNDO_TARGET')
    const nobody = await control.undo({ initiator: 'iqn.2026-01.org.example:pc-8' }).catch((reason: unknown) => reason)
    expect(codeOf(nobody)).toBe('ERR_ISCSI_UNDO_NOTHING')
  })
})
