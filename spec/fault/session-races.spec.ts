import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Nexus } from '../../lib/scsi/nexus.js'
import { readVolume, writeVolume } from '../../lib/volume/promises.js'
import { Random, seedOf, steps } from '../support/random.js'
import { ALICE, BASE_BYTE, HOUR_MS, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

/*
 * Logins, logouts, lost connections, the operator's orders, the end of the grace time, restarts and kills of the server,
 * all at once and in any order. Each write has a number of its own. Whatever the order was, no client may ever read a
 * number that was dropped, and none may lose its number without being fenced under a new identity.
 */

let bench: TargetBench
afterEach(() => bench.remove())

const BASE = Buffer.alloc(4, BASE_BYTE).readUInt32BE()
const ROUNDS = steps(25)
/** Each round syncs the disk some ten times, and a busy one takes its time. */
const TIME_MS = ROUNDS * 2400
const SEED = seedOf(20_261)

class Model {
  /** The number that was written last in this epoch, if any. */
  current = BASE
  /** Numbers that nobody may see again. */
  readonly dead = new Set<number>()
  /** Identity under which `current` was written or seen. */
  serial: string | undefined

  write(number: number, serial: string): void {
    this.current = number
    this.serial = serial
  }

  drop(): void {
    if (this.current !== BASE) this.dead.add(this.current)
    this.current = BASE
  }
}

const volumeOf = (nexus: Nexus) => nexus.units.get(0)!.unit.volume

async function look(nexus: Nexus): Promise<number> {
  const bytes = Buffer.alloc(512)
  await readVolume(volumeOf(nexus), bytes, 0)
  return bytes.readUInt32BE()
}

async function stamp(nexus: Nexus, number: number): Promise<void> {
  const bytes = Buffer.alloc(4096)
  bytes.writeUInt32BE(number)
  await writeVolume(volumeOf(nexus), bytes, 0)
}

describe('Sessions of one initiator', () => {
  it.each([SEED, SEED + 1, SEED + 2])(
    'never see what was dropped, nor miss what was not (seed %d)',
    async (seed) => {
      const random = new Random(seed)
      bench = await TargetBench.make()
      await bench.start()
      const model = new Model()
      let number = 1
      let isid = 1
      for (let round = 0; round < ROUNDS; round++) {
        const where = `seed ${seed}, round ${round}`
        // One client alone, so that the model knows what must be there.
        const nexus = await bench.login({ isid: `4000013${String(isid++).padStart(5, '0')}` })
        const found = await look(nexus)
        const { fenced, unit } = nexus.units.get(0)!
        expect({ where, dead: model.dead.has(found) }).toEqual({ where, dead: false })
        if (found !== model.current) {
          // Lost: that is allowed when it is told.
          expect({ where, found, fenced }).toEqual({ where, found: BASE, fenced: true })
          expect(unit.identity.serial).not.toBe(model.serial)
          model.drop()
        }
        nexus.looked(nexus.units.get(0)!, 'inquiry')
        if (random.int(4) > 0) {
          await stamp(nexus, number)
          model.write(number++, unit.identity.serial)
        }
        await disturb(random, model, nexus, () => `4000013${String(isid++).padStart(5, '0')}`)
      }
    },
    TIME_MS
  )
})

/** Ends the session in some way, with other things under way at the same time. */
async function disturb(random: Random, model: Model, nexus: Nexus, isid: () => string): Promise<void> {
  const wrote = model.current !== BASE
  switch (random.int(8)) {
    case 0: // A logout alone.
      await bench.end(nexus, LOGOUT)
      return model.drop()
    case 1: // Silence.
      return bench.end(nexus, SILENCE)
    case 2: {
      // A second session comes while the first logs out: it sees the delta or the base, and the last logout drops.
      const ending = bench.end(nexus, LOGOUT)
      const second = await bench.login({ isid: isid() })
      await ending
      expect([model.current, BASE]).toContain(await look(second))
      await bench.end(second, LOGOUT)
      return model.drop()
    }
    case 3: {
      // The operator's order meets a login.
      await bench.end(nexus, SILENCE)
      const order = bench.server!.control.restore({ initiator: ALICE }).then(
        () => true,
        () => false
      )
      const second = await bench.login({ isid: isid() }).catch(() => undefined)
      if ((await order) && wrote) model.drop()
      if (second && (await bench.server!.control.sessions()).length > 0) await bench.end(second, SILENCE)
      return
    }
    case 4: {
      // The grace time ends while the client logs in.
      await bench.end(nexus, SILENCE)
      const login = bench.login({ isid: isid() })
      bench.clock.advance(97 * HOUR_MS)
      const second = await login
      await bench.settled()
      expect(await look(second)).toBe(model.current)
      return bench.end(second, SILENCE)
    }
    case 5: // A stop and a start, with the session on.
      await bench.start()
      return
    case 6: {
      // The process is killed with the session on; the directory is as it is now.
      const copy = join(bench.directory, 'copy')
      await cp(bench.state, copy, { recursive: true })
      await bench.end(nexus, SILENCE)
      await bench.stop()
      await rm(bench.state, { recursive: true })
      await rename(copy, bench.state)
      await bench.start()
      return
    }
    default: {
      // A logout, and the server closes meanwhile.
      const ending = bench.end(nexus, LOGOUT)
      await Promise.all([ending, bench.start()])
      return model.drop()
    }
  }
}
