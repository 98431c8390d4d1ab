import { afterEach, describe, expect, it } from '@jest/globals'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ALICE, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

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

describe('the ends of epochs', () => {
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
