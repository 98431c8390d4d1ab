import type { Control, CopyPart, ImageView, JobView, UndoOrder } from '../../lib/target/control.js'
import { TargetError } from '../../lib/target/errors.js'

export const FAKE_TARGET = 'iqn.2010-04.local.cloudx:share'
export const FAKE_PC = 'iqn.1991-05.com.microsoft:pc'
const MIB = 1 << 20

export const FAKE_IMAGE: ImageView = {
  path: '/disks/share.img',
  uuid: '00000000-0000-4000-8000-000000000000',
  backupUuid: '00000000-0000-4000-8000-000000000000',
  current: 1,
  raw: 0,
  tests: [],
  flattening: undefined,
  trouble: undefined,
  generations: [],
  drafts: [],
  push: undefined
}

export const FAKE_JOB: JobView = {
  id: 1,
  kind: 'flatten',
  image: '/disks/share.img',
  startedAt: 1_700_000_000_000,
  doneBytes: 1,
  totalBytes: 2,
  state: 'running',
  message: '',
  code: undefined
}

/** A control that answers what stands here, and notes the orders that it is given. */
export function fakeControl(space: string, orders: UndoOrder[] = []): Control {
  const names = { targetName: FAKE_TARGET, initiatorName: FAKE_PC }
  const unit = { lun: 0, path: '/disks/share.img', partition: undefined, size: 20 * 1024 * MIB, blockSize: 512 }
  return {
    server: () =>
      Promise.resolve({
        startedAt: 1_700_000_000_000,
        portals: [{ address: '::1', port: 3260 }],
        undoMs: 3_600_000,
        lostMs: 86_400_000,
        shred: false
      }),
    targets: () =>
      Promise.resolve([
        {
          name: FAKE_TARGET,
          alias: undefined,
          units: [
            {
              ...unit,
              readOnly: true,
              shared: false,
              imageUuid: '00000000-0000-4000-8000-000000000000',
              author: undefined
            }
          ]
        }
      ]),
    sessions: () =>
      Promise.resolve([
        {
          type: 'Normal' as const,
          ...names,
          isid: '400001370000',
          tsih: 1,
          remoteAddress: '192.0.2.7',
          localAddress: '192.0.2.1',
          ageMs: 90_000,
          commands: 7,
          dataInBytes: 1536,
          dataOutBytes: 3 * MIB
        }
      ]),
    initiators: () =>
      Promise.resolve([
        {
          ...names,
          sessions: 0,
          lastSeen: 0,
          lastAddress: '192.0.2.7',
          end: 'lost: silence',
          graceLeftMs: 7_200_000,
          chapUser: undefined,
          role: 'private' as const,
          policy: 'restore' as const,
          marked: false,
          units: [
            {
              lun: 0,
              incarnation: 0,
              epoch: 1,
              stored: true,
              keeping: 'logout' as const,
              open: false,
              bytes: 5 * MIB,
              mapBytes: 7 * MIB
            },
            { lun: 1, incarnation: 0, epoch: 0, stored: false, keeping: 'kept' as const, open: false, bytes: undefined }
          ]
        }
      ]),
    bin: () =>
      Promise.resolve([
        {
          ...names,
          id: '1-0',
          lun: 0,
          incarnation: 0,
          epoch: 1,
          bytes: 4 * MIB,
          reason: 'logout' as const,
          restore: 1,
          binnedAt: 1_700_000_000_000,
          removeAt: 1,
          leftMs: 1_800_000,
          undoable: true
        }
      ]),
    space: () => Promise.resolve([{ path: space, usedBytes: 9 * MIB, limitBytes: undefined }]),
    images: () => Promise.resolve([FAKE_IMAGE]),
    publish: () => Promise.resolve(FAKE_IMAGE),
    push: () => Promise.resolve(FAKE_IMAGE),
    cancelPush: () => Promise.resolve(FAKE_IMAGE),
    rollback: () => Promise.resolve(FAKE_IMAGE),
    test: () => Promise.resolve(FAKE_IMAGE),
    flatten: () => Promise.resolve(FAKE_JOB),
    verify: () => Promise.resolve(FAKE_JOB),
    grow: () => Promise.resolve(FAKE_IMAGE),
    exportImage: async function* (): AsyncGenerator<CopyPart> {
      await Promise.resolve()
      yield { kind: 'size', lengthBytes: 4 * MIB }
    },
    jobs: () => Promise.resolve([FAKE_JOB]),
    disconnect: () => Promise.resolve(0),
    restore: () => Promise.resolve({ bytes: 0, tookMs: 0 }),
    show: ({ initiator }) => {
      if (initiator !== FAKE_PC) return Promise.reject(new TargetError('ERR_ISCSI_DELTA_NOTHING', 'nothing'))
      const areas = [{ offset: MIB, lengthBytes: 2 * MIB, changedBytes: MIB }]
      const sizes = {
        size: 20 * 1024 * MIB,
        bytesStored: 5 * MIB,
        mapBytes: 6 * MIB,
        changedBytes: MIB,
        growthBytesPerMinute: 3 * MIB
      }
      return Promise.resolve({
        ...names,
        sessions: 1,
        units: [{ lun: 0, ...sizes, keeping: 'logout' as const, areas }]
      })
    },
    drop: ({ atNextLogin = false }) => Promise.resolve({ ...names, bytes: 5 * MIB, tookMs: 1, atNextLogin }),
    exportDelta: async function* ({ live = false }): AsyncGenerator<CopyPart> {
      await Promise.resolve()
      yield { kind: 'size', lengthBytes: 4 * MIB }
      yield { kind: 'data', offset: MIB, bytes: Buffer.alloc(4096, 0x77) }
      if (!live) throw new TargetError('ERR_ISCSI_DELTA_LIVE', 'it is logged in')
      yield { kind: 'reached', offset: 4 * MIB }
    },
    rescue: async function* ({ path }): AsyncGenerator<CopyPart> {
      await Promise.resolve()
      yield { kind: 'size', lengthBytes: path.length }
      yield { kind: 'data', offset: 0, bytes: Buffer.from(path) }
    },
    policies: () =>
      Promise.resolve([
        {
          targetName: FAKE_TARGET,
          ordered: [{ match: FAKE_PC, policy: 'keep' as const }],
          configured: [{ match: 'iqn.*', restoreOn: 'boot' as const, lun: 1 }],
          units: [{ lun: 0, personal: false, restoreOn: 'logout' as const }]
        }
      ]),
    setPolicy: () => Promise.resolve([]),
    undo: (order) => {
      orders.push(order)
      if (order.initiator !== FAKE_PC) {
        return Promise.reject(new TargetError('ERR_ISCSI_UNDO_SESSION', `${order.initiator} is logged in`))
      }
      const discardedBytes = order.discard ? MIB : 0
      return Promise.resolve({ ...names, luns: [0], bytes: 4 * MIB, discardedBytes, renewed: order.discard === true })
    }
  }
}
