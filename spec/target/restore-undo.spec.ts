import { chmod, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { ServerOptions, TargetOptions } from '../../lib/target/options.js'
import { codeOf } from '../../lib/util/errors.js'
import { readVolume, writeVolume } from '../../lib/volume/promises.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<ServerOptions> = {}, target: Partial<TargetOptions> = {}): Promise<void> {
  bench = await TargetBench.make(changes, target)
  await bench.start()
}

const undo = (order: { target?: string; discard?: boolean } = {}, initiator = ALICE) =>
  bench.server!.control.undo({ initiator, ...order })

/** The code of the refusal. */
async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => codeOf(error)
  )
}

/** What the client finds at its next login, and how the disk calls itself. */
async function found(): Promise<{ byte: number; serial: string; fenced: boolean }> {
  const nexus = await bench.login()
  const { unit, fenced } = nexus.units.get(0)!
  const seen = { byte: await bench.read(nexus, 0), serial: unit.identity.serial, fenced }
  await bench.end(nexus, SILENCE)
  return seen
}

async function written(fill: number): Promise<string> {
  const nexus = await bench.login()
  const { serial } = nexus.units.get(0)!.unit.identity
  await bench.write(nexus, 0, fill)
  await bench.end(nexus, LOGOUT)
  await bench.settled()
  return serial
}

describe('undo', () => {
  it('gives back what the last logout dropped, under the same identity', async () => {
    await started()
    const serial = await written(0xaa)
    expect(await undo()).toMatchObject({
      initiatorName: ALICE,
      targetName: TARGET,
      luns: [0],
      bytes: 4096,
      discardedBytes: 0,
      renewed: false
    })
    expect(await found()).toEqual({ byte: 0xaa, serial, fenced: false })
    await bench.settled()
    expect(await readdir(join(bench.state, 'bin'))).toEqual([])
  })

  it('is told in the line of the restore, with the time until which it works', async () => {
    await started()
    await written(0xaa)
    const until = new Date(bench.clock.now() + HOUR_MS)
    const clock = `${String(until.getHours()).padStart(2, '0')}:${String(until.getMinutes()).padStart(2, '0')}`
    expect(bench.log.with('restored', clock, `cloudx delta undo ${ALICE} --state-dir `, bench.state)).toHaveLength(1)
  })

  it('gives back the newest of several restores, and not the one before', async () => {
    await started()
    await written(0xaa)
    await written(0xbb)
    await undo()
    expect((await found()).byte).toBe(0xbb)
  })

  it('can be restored and undone again and again', async () => {
    await started()
    await written(0x01)
    for (let round = 2; round < 6; round++) {
      await undo()
      const nexus = await bench.login()
      expect(await bench.read(nexus, 0)).toBe(round - 1)
      await bench.write(nexus, 0, round)
      await bench.end(nexus, LOGOUT)
      await bench.settled()
    }
    expect((await found()).byte).toBe(BASE_BYTE)
  })

  it('works after the server was started again, and its result outlives another start', async () => {
    await started()
    const serial = await written(0xaa)
    await bench.start()
    await undo()
    await bench.start()
    expect(await found()).toEqual({ byte: 0xaa, serial, fenced: false })
  })

  it('gives all LUNs of the restore back', async () => {
    await started()
    const other = join(bench.directory, 'other.img')
    await writeFile(other, Buffer.alloc(1 << 20, 0x33))
    await bench.start({ targets: [bench.target({ units: [bench.unit(), bench.unit({ lun: 1, path: other })] })] })
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    const { volume } = nexus.units.get(1)!.unit
    await writeVolume(volume, Buffer.alloc(4096, 0xbb), 8192)
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    expect((await undo()).luns).toEqual([0, 1])
    const again = await bench.login()
    const bytes = Buffer.alloc(1)
    await readVolume(again.units.get(1)!.unit.volume, bytes, 8192)
    expect([await bench.read(again, 0), bytes[0]]).toEqual([0xaa, 0xbb])
  })

  it.each([
    ['after the order was noted', false],
    ['after the map was moved as well', true]
  ])('is carried to its end at the next start when the server died %s', async (_title, moved) => {
    await started()
    const serial = await written(0xaa)
    await undo()
    const [name] = await readdir(join(bench.state, 'initiators'))
    const path = join(bench.state, 'initiators', name!)
    const record = JSON.parse(await readFile(path, 'utf8')) as { units: object[] }
    await bench.stop()
    // As it is before the files have moved: in the bin, with their label, and the order in the record.
    const [hash] = await readdir(join(bench.state, 'deltas'))
    const id = '1700000000000-0123456789abcdef0123456789abcdef'
    const binned = join(bench.state, 'bin', id)
    await mkdir(binned)
    const files = await readdir(join(bench.state, 'deltas', hash!))
    for (const file of files) {
      if (moved && file.endsWith('.slots')) continue
      await rename(join(bench.state, 'deltas', hash!, file), join(binned, file))
    }
    const names = { targetName: TARGET, initiatorName: ALICE, lun: 0, incarnation: 0, epoch: 1 }
    const label = { version: 1, id, ...names, bytes: 4096, reason: 'logout', restore: 1, binnedAt: 1, removeAt: 0 }
    await writeFile(join(binned, 'entry.json'), JSON.stringify(label))
    const units = record.units.map((unit) => ({ ...unit, stored: false, epoch: 1 }))
    const order = { ...record, units, undo: [{ lun: 0, id, epoch: 1, incarnation: 0 }] }
    await writeFile(path, JSON.stringify(order))
    await bench.start()
    expect(await found()).toEqual({ byte: 0xaa, serial, fenced: false })
  })

  it('is refused while the client is logged in', async () => {
    await started()
    await written(0xaa)
    await bench.login()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_SESSION')
  })

  it('is refused when nothing was dropped, and when the undo time is over', async () => {
    await started()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_NOTHING')
    await written(0xaa)
    expect(await refusal(undo({}, BOB))).toBe('ERR_ISCSI_UNDO_NOTHING')
    bench.clock.advance(HOUR_MS)
    await bench.settled()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_NOTHING')
  })

  it('is refused for a name that is none, and for a target that is none', async () => {
    await started()
    expect(await refusal(undo({}, '../../etc'))).toBe('ERR_ISCSI_NAME')
    expect(await refusal(undo({ target: 'iqn.2010-04.local.cloudx:none' }))).toBe('ERR_ISCSI_TARGET_UNKNOWN')
  })

  it('names the initiator that was meant', async () => {
    await started()
    await written(0xaa)
    await expect(undo({}, `${ALICE}x`)).rejects.toThrow(`did you mean ${ALICE}?`)
    await expect(undo({}, ALICE.toUpperCase())).resolves.toMatchObject({ bytes: 4096 })
  })

  it('is refused when something was written since, and says how much', async () => {
    await started()
    await written(0xaa)
    await bench.visit(0xbb, SILENCE)
    await expect(undo()).rejects.toThrow(/an undo would take \d+ KiB away from it.*--discard/)
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_WRITTEN')
    expect((await found()).byte).toBe(0xbb)
  })

  it('with the explicit option gives up what was written since, and never under the same identity', async () => {
    await started()
    const serial = await written(0xaa)
    await bench.visit(0xbb, SILENCE)
    expect(await undo({ discard: true })).toMatchObject({ renewed: true })
    const seen = await found()
    expect(seen).toMatchObject({ byte: 0xaa, fenced: true })
    expect(seen.serial).not.toBe(serial)
    expect(await bench.server!.control.bin()).toMatchObject([{ reason: 'operator', undoable: false }])
    await bench.start()
    expect(await found()).toEqual(seen)
  })

  it('is refused when the client may have the disk mounted still, although it wrote nothing', async () => {
    await started()
    const serial = await written(0xaa)
    await bench.end(await bench.login(), SILENCE)
    await bench.settled()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_UNCLEAN')
    await bench.start()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_UNCLEAN')
    expect(await undo({ discard: true })).toMatchObject({ renewed: true, discardedBytes: 0 })
    const seen = await found()
    expect(seen).toMatchObject({ byte: 0xaa, fenced: true })
    expect(seen.serial).not.toBe(serial)
  })

  it('is done after a session that wrote nothing and logged out', async () => {
    await started()
    await written(0xaa)
    await bench.end(await bench.login(), LOGOUT)
    await bench.settled()
    await undo()
    expect((await found()).byte).toBe(0xaa)
  })

  it('is refused when the last thing that went was lost, not dropped', async () => {
    await started()
    await written(0xaa)
    await bench.visit(0xbb, SILENCE)
    await bench.server!.control.restore({ initiator: ALICE })
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_LOST')
  })

  it('is refused when the image was changed since', async () => {
    await started()
    await written(0xaa)
    await bench.stop()
    await utimes(bench.image, 1, 1)
    await bench.start()
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_BASE')
    expect(await bench.server!.control.bin()).toHaveLength(1)
  })

  it('is refused when the CHAP user of the target is another one now', async () => {
    const chap = (user: string) => ({
      access: { allow: [], chap: { user, secret: Buffer.alloc(16, 1) }, mutual: undefined }
    })
    bench = await TargetBench.make({}, chap('kim'))
    await bench.start()
    await bench.visit(0xaa, LOGOUT, { chapName: 'kim' })
    await bench.settled()
    await bench.start({ targets: [bench.target(chap('lee'))] })
    expect(await refusal(undo())).toBe('ERR_ISCSI_UNDO_CHAP')
    await bench.start({ targets: [bench.target(chap('kim'))] })
    await undo()
    const nexus = await bench.login({ chapName: 'kim' })
    expect(await bench.read(nexus, 0)).toBe(0xaa)
  })

  it('keeps the entry when the order cannot be noted', async () => {
    await started()
    await written(0xaa)
    const folder = join(bench.state, 'initiators')
    await rm(folder, { recursive: true })
    await writeFile(folder, 'in the way')
    expect(await refusal(undo())).not.toBe('done')
    await rm(folder)
    await mkdir(folder)
    await chmod(folder, 0o700)
    expect(await undo()).toMatchObject({ bytes: 4096 })
    expect((await found()).byte).toBe(0xaa)
  })
})
