import { afterEach, describe, expect, it } from '@jest/globals'
import { cp, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpenDeltaDisk } from '../../lib/target/delta-disk.js'
import { openOverlayDisk } from '../../lib/target/overlay-disk.js'
import { ALICE, BASE_BYTE, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(): Promise<void> {
  bench = await TargetBench.make()
  await bench.start()
}

async function serialOf(initiatorName = ALICE): Promise<string> {
  const nexus = await bench.login({ initiatorName, isid: '400001379999' })
  const { serial } = nexus.units.get(0)!.unit.identity
  await bench.end(nexus, SILENCE)
  return serial
}

/** More than anything here takes that waits for nothing but files. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await readdir(bench.state)
}

/** A disk whose restores survive a power cut only when the spec says so. */
class SlowMedium {
  private resolve = (): void => undefined
  private reject = (_error: Error): void => undefined
  private readonly synced = new Promise<void>((resolve, reject) => {
    this.resolve = resolve
    this.reject = reject
  })

  readonly openDelta: OpenDeltaDisk = async (options) => {
    const disk = await openOverlayDisk(options)
    const restore = disk.restore.bind(disk)
    disk.restore = async (directory) => {
      const { durable } = await restore(directory)
      return { durable: Promise.all([durable, this.synced]).then(() => undefined) }
    }
    return disk
  }

  sync(): void {
    this.resolve()
  }

  fail(): void {
    this.reject(new Error('the medium is gone'))
  }
}

describe('the ends of epochs', () => {
  describe('behind a restore that no sync has made safe yet', () => {
    let medium: SlowMedium
    const records = async (): Promise<{ units: { epoch: number; stored: boolean }[] }[]> => {
      const names = await readdir(join(bench.state, 'initiators'))
      const texts = await Promise.all(names.map((name) => readFile(join(bench.state, 'initiators', name), 'utf8')))
      return texts.map((text) => JSON.parse(text) as { units: { epoch: number; stored: boolean }[] })
    }
    const restored = async (): Promise<void> => {
      bench = await TargetBench.make()
      medium = new SlowMedium()
      await bench.start({}, { openDelta: medium.openDelta })
      await bench.visit(0xaa, LOGOUT)
    }

    it('lets the client in, which finds the original and a record that ends the epoch', async () => {
      await restored()
      const nexus = await bench.login()
      expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
      expect((await records()).map(({ units }) => units[0])).toEqual([
        expect.objectContaining({ epoch: 1, stored: false })
      ])
      medium.sync()
    })

    it('shows nobody the old content when a power cut brings its files back', async () => {
      bench = await TargetBench.make()
      medium = new SlowMedium()
      await bench.start({}, { openDelta: medium.openDelta })
      const writer = await bench.login()
      await bench.write(writer, 0, 0xaa)
      const { serial } = writer.units.get(0)!.unit.identity
      const kept = join(bench.directory, 'kept')
      await cp(join(bench.state, 'deltas'), kept, { recursive: true })
      await bench.end(writer, LOGOUT)
      const reader = await bench.login()
      const known = await records()
      medium.sync()
      await bench.end(reader, SILENCE)
      await bench.stop()
      await cp(kept, join(bench.state, 'deltas'), { recursive: true })
      expect(known).toHaveLength(1)
      await bench.start()
      const nexus = await bench.login()
      expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
      expect(nexus.units.get(0)!.unit.identity.serial).toBe(serial)
    })

    it('forgets the client when it is safe, and not before', async () => {
      await restored()
      await turns()
      expect(await records()).toHaveLength(1)
      medium.sync()
      await bench.settled()
      expect(await records()).toEqual([])
    })

    it('tells of a sync that failed, and goes on', async () => {
      await restored()
      medium.fail()
      await bench.settled()
      expect(bench.log.with('error:', ALICE, 'the medium is gone')).toHaveLength(1)
      expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
    })

    it('is closed behind it', async () => {
      await restored()
      let stopped = false
      const stop = bench.stop().then(() => (stopped = true))
      await turns()
      expect(stopped).toBe(false)
      medium.sync()
      await stop
      expect(await records()).toEqual([])
    })
  })

  describe('after a loss', () => {
    async function lost(): Promise<void> {
      await started()
      await bench.visit(0xaa, SILENCE)
      await bench.server!.control.restore({ initiator: ALICE })
    }

    it('fences every nexus until it has sent INQUIRY', async () => {
      await lost()
      const nexus = await bench.login()
      const entry = nexus.units.get(0)!
      expect(entry.fenced).toBe(true)
      nexus.looked(entry, 'inquiry')
      expect(entry.fenced).toBe(false)
    })

    it('takes READ CAPACITY for a look only from another ISID than the last one', async () => {
      await lost()
      const same = await bench.login()
      same.looked(same.units.get(0)!, 'read-capacity')
      expect(same.units.get(0)!.fenced).toBe(true)
      const other = await bench.login({ isid: '400027231234' })
      other.looked(other.units.get(0)!, 'read-capacity')
      expect(other.units.get(0)!.fenced).toBe(false)
      expect(same.units.get(0)!.fenced).toBe(true)
    })

    it('remembers over a restart who has looked', async () => {
      await lost()
      const nexus = await bench.login()
      nexus.looked(nexus.units.get(0)!, 'inquiry')
      await bench.settled()
      await bench.start()
      expect((await bench.login()).units.get(0)!.fenced).toBe(false)
      expect((await bench.login({ isid: '400001370077' })).units.get(0)!.fenced).toBe(true)
    })

    it('keeps the new identity over a restore and a restart', async () => {
      await lost()
      const nexus = await bench.login()
      const { serial } = nexus.units.get(0)!.unit.identity
      await bench.write(nexus, 0, 0xac)
      await bench.end(nexus, LOGOUT)
      expect(await serialOf()).toBe(serial)
      await bench.start()
      expect(await serialOf()).toBe(serial)
    })

    it('has put the old content into the bin, with a reason', async () => {
      await lost()
      const [entry, ...rest] = await bench.server!.control.bin()
      expect(rest).toEqual([])
      expect(entry).toMatchObject({ initiatorName: ALICE, targetName: TARGET, lun: 0, bytes: 4096, reason: 'operator' })
      expect(await readdir(join(bench.state, 'bin', entry!.id))).toContain('entry.json')
    })
  })
})
