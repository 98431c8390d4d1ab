import { chmod, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { SessionEnd } from '../../../lib/iscsi/directory.js'
import type { Nexus } from '../../../lib/scsi/nexus.js'
import { Generations } from '../../../lib/target/generations/generations.js'
import type { StoredImage } from '../../../lib/target/image-storage.js'
import { RAW_WATCH_MS } from '../../../lib/target/images.js'
import { StateDirectory } from '../../../lib/target/state-directory.js'
import type { ImageTogether } from '../../../lib/target/workers/image-turns.js'
import { codeOf, messageOf } from '../../../lib/util/errors.js'
import { createHash } from 'node:crypto'
import { Random, seedOf, steps } from '../../support/random.js'
import {
  ALICE,
  BASE_BYTE,
  BOB,
  HOUR_MS,
  IMAGE_BYTES,
  LOGOUT,
  SILENCE,
  TARGET,
  TargetBench
} from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'
const OTHER_STUDIO = 'iqn.2026-01.org.example:workshop'
const CLOSED: SessionEnd = { kind: 'closed' }

let bench: TargetBench
beforeEach(async () => {
  bench = await TargetBench.make(
    { graceMs: HOUR_MS, graceClosedMs: HOUR_MS },
    { initiators: [STUDIO, OTHER_STUDIO].map((match) => ({ match, policy: 'author' })) }
  )
  await bench.start()
})
afterEach(() => bench.remove())

const as = (initiatorName: string) => ({ initiatorName })
const control = () => bench.server!.control
const image = async () => (await control().images())[0]!
const recordPath = async () => join(bench.state, 'generations', `${(await image()).uuid}.json`)
const layerPath = async (name = '') => join(bench.state, 'generations', (await image()).uuid, name)

/** An author logs in, writes, logs out, and the operator publishes. */
async function release(fill: number, offset = 0, author = STUDIO, note = ''): Promise<void> {
  const nexus = await bench.login(as(author))
  await bench.write(nexus, offset, fill)
  await bench.end(nexus, LOGOUT)
  await control().publish({ author, note })
}

/** What a client that logs in now finds at an offset. */
async function seen(offset = 0, initiatorName = BOB): Promise<number> {
  const nexus = await bench.login(as(initiatorName))
  const byte = await bench.read(nexus, offset)
  await bench.end(nexus, LOGOUT)
  return byte
}

const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const serialOf = (nexus: Nexus) => nexus.units.get(0)!.unit.identity.serial

describe('a publish', () => {
  it('leaves running sessions where they are, and gives new logins what the author wrote', async () => {
    const alice = await bench.login()
    await bench.write(alice, 8192, 0x77)
    await release(0x11)
    expect(await bench.read(alice, 0)).toBe(BASE_BYTE)
    expect(await bench.read(alice, 8192)).toBe(0x77)
    expect(await seen(0)).toBe(0x11)
    expect(await seen(8192)).toBe(BASE_BYTE)
    await bench.end(alice, LOGOUT)
    expect(await seen(0, ALICE)).toBe(0x11)
    expect(await bench.imageByte(0)).toBe(BASE_BYTE)
  })

  it('says what was published, when, by whom and how much of it there is', async () => {
    bench.clock.jump(5000)
    await release(0x11, 0, STUDIO, 'new player')
    const { current, raw, generations, drafts } = await image()
    expect([current, raw, drafts]).toEqual([1, 0, []])
    expect(generations).toMatchObject([
      { number: 0, parent: undefined, size: IMAGE_BYTES, available: true },
      { number: 1, parent: 0, author: STUDIO, note: 'new player', layerBytes: 4096, size: IMAGE_BYTES, available: true }
    ])
    expect(generations[1]!.time).toBe(bench.clock.now())
  })

  it('lets its author go on from it, under the same identity', async () => {
    const first = await bench.login(as(STUDIO))
    const serial = serialOf(first)
    await bench.write(first, 0, 0x11)
    await bench.end(first, LOGOUT)
    await control().publish({})
    const second = await bench.login(as(STUDIO))
    expect([serialOf(second), await bench.read(second, 0)]).toEqual([serial, 0x11])
    await bench.write(second, 4096, 0x22)
    await bench.end(second, LOGOUT)
    await control().publish({})
    expect([await seen(0), await seen(4096)]).toEqual([0x11, 0x22])
    expect((await image()).current).toBe(2)
  })

  it('keeps what an author wrote beyond logouts, until it is published', async () => {
    await bench.visit(0x11, LOGOUT, as(STUDIO))
    bench.clock.advance(3 * HOUR_MS)
    await bench.settled()
    expect(await seen(0, STUDIO)).toBe(0x11)
    expect(await seen(0)).toBe(BASE_BYTE)
    expect((await image()).drafts).toEqual([
      { initiatorName: STUDIO, targetName: TARGET, generation: 0, bytes: 4096, live: false }
    ])
  })

  it('is refused while its author is logged in, and ends that session with --force', async () => {
    const nexus = await bench.login(as(STUDIO))
    await bench.write(nexus, 0, 0x11)
    expect(await failure(control().publish({}))).toBe('ERR_ISCSI_PUBLISH_SESSION')
    expect((await image()).current).toBe(0)
    await control().publish({ force: true })
    expect(bench.nexuses).toEqual([])
    expect(await seen()).toBe(0x11)
  })

  it('shows an author whose session it ended what it left, although others publish on', async () => {
    const nexus = await bench.login(as(STUDIO))
    const serial = serialOf(nexus)
    await bench.write(nexus, 0, 0x11)
    await control().publish({ force: true })
    await release(0x22, 0, OTHER_STUDIO)
    const back = await bench.login(as(STUDIO))
    expect([serialOf(back), await bench.read(back, 0)]).toEqual([serial, 0x11])
    await bench.end(back, LOGOUT)
    expect(await seen(0, STUDIO)).toBe(0x22)
  })

  it('is refused after a session that did not end by a logout, except with --force', async () => {
    await bench.visit(0x11, SILENCE, as(STUDIO))
    expect(await failure(control().publish({}))).toBe('ERR_ISCSI_PUBLISH_UNCLEAN')
    await control().publish({ force: true })
    expect(await seen()).toBe(0x11)
  })

  it.each<[string, () => Promise<unknown>, string]>([
    ['nobody wrote anything', () => Promise.resolve(), 'ERR_ISCSI_PUBLISH_NOTHING'],
    ['only a client without the policy did', () => bench.visit(0x33, SILENCE), 'ERR_ISCSI_PUBLISH_NOTHING'],
    [
      'two authors did, and none is named',
      async () => {
        await bench.visit(1, LOGOUT, as(STUDIO))
        await bench.visit(2, LOGOUT, as(OTHER_STUDIO))
      },
      'ERR_ISCSI_PUBLISH_WHICH'
    ]
  ])('is refused when %s', async (_when, prepare, code) => {
    await prepare()
    expect(await failure(control().publish({}))).toBe(code)
    expect((await image()).generations).toHaveLength(1)
  })

  it('refuses what lies beside the current generation, except with --force', async () => {
    await bench.visit(1, LOGOUT, as(STUDIO))
    await release(2, 4096, OTHER_STUDIO)
    expect(await failure(control().publish({}))).toBe('ERR_ISCSI_GENERATION_BESIDE')
    expect(await seen(0, STUDIO)).toBe(1)
    await control().publish({ force: true })
    expect([await seen(0), await seen(4096)]).toEqual([1, BASE_BYTE])
    expect((await image()).generations.map(({ parent }) => parent)).toEqual([undefined, 0, 0])
  })

  it('refuses an author of another name, and a name that is none', async () => {
    await bench.visit(1, LOGOUT, as(STUDIO))
    expect(await failure(control().publish({ author: ALICE }))).toBe('ERR_ISCSI_PUBLISH_NOTHING')
    expect(await failure(control().publish({ author: 'me' }))).toBe('ERR_ISCSI_NAME')
    expect(await failure(control().publish({ test: ['me'] }))).toBe('ERR_ISCSI_NAME')
    expect(await failure(control().publish({ note: 'x'.repeat(201) }))).toBe('ERR_ISCSI_NOTE')
    expect(await failure(control().publish({ image: '/no/such.img' }))).toBe('ERR_ISCSI_IMAGE_UNKNOWN')
  })

  it('is there after a restart of the server', async () => {
    await release(0x11)
    await bench.start()
    expect(await seen()).toBe(0x11)
    await release(0x12)
    await bench.start()
    expect(await seen()).toBe(0x12)
  })

  it('frees what the author was charged for', async () => {
    await bench.visit(0x11, LOGOUT, as(STUDIO))
    expect((await control().space())[0]!.usedBytes).toBeGreaterThan(0)
    await control().publish({})
    await bench.settled()
    expect((await control().space())[0]!.usedBytes).toBe(0)
  })
})

describe('a client that comes back', () => {
  it('finds its delta over the generation that it was written over', async () => {
    await bench.visit(0x77, SILENCE)
    await release(0x11, 4096)
    await bench.start()
    const nexus = await bench.login()
    expect([await bench.read(nexus, 0), await bench.read(nexus, 4096)]).toEqual([0x77, BASE_BYTE])
    await bench.end(nexus, LOGOUT)
    expect([await seen(0, ALICE), await seen(4096, ALICE)]).toEqual([BASE_BYTE, 0x11])
  })

  it.each<[string, SessionEnd]>([
    ['fell silent', SILENCE],
    ['closed its connection', CLOSED]
  ])('finds its generation when it had written nothing and %s', async (_how, end) => {
    const first = await bench.login()
    expect(await bench.read(first, 0)).toBe(BASE_BYTE)
    await bench.end(first, end)
    await release(0x11)
    await bench.start()
    const again = await bench.login()
    expect([serialOf(again), await bench.read(again, 0)]).toEqual([serialOf(first), BASE_BYTE])
    await bench.end(again, LOGOUT)
    expect(await seen(0, ALICE)).toBe(0x11)
  })

  it('keeps its identity for as long as its generation is what all get', async () => {
    const first = await bench.login()
    await bench.end(first, SILENCE)
    bench.clock.advance(2 * HOUR_MS)
    await bench.settled()
    const again = await bench.login()
    expect([serialOf(again), again.units.get(0)!.fenced]).toEqual([serialOf(first), false])
  })

  it('is shown another disk when its time is over and all get another generation', async () => {
    const first = await bench.login()
    await bench.end(first, SILENCE)
    await release(0x11)
    bench.clock.advance(2 * HOUR_MS)
    await bench.settled()
    const again = await bench.login()
    expect(serialOf(again)).not.toBe(serialOf(first))
    expect(again.units.get(0)!.fenced).toBe(true)
    expect(await bench.read(again, 0)).toBe(0x11)
  })

  it('can have a restore undone that was over an older generation', async () => {
    await bench.visit(0x77, LOGOUT)
    await release(0x11, 4096)
    await control().undo({ initiator: ALICE })
    expect([await seen(0, ALICE), await seen(4096, ALICE)]).toEqual([0x77, 0x11])
  })
})

describe('a roll-back', () => {
  it('gives new logins the generation before, and running sessions nothing', async () => {
    await release(0x11)
    await release(0x22)
    const nexus = await bench.login()
    await control().rollback({})
    expect([await bench.read(nexus, 0), await seen()]).toEqual([0x22, 0x11])
    await control().rollback({})
    expect(await seen()).toBe(BASE_BYTE)
    expect(await failure(control().rollback({}))).toBe('ERR_ISCSI_ROLLBACK')
    await control().rollback({ to: 2 })
    expect(await seen()).toBe(0x22)
    expect(await failure(control().rollback({ to: 7 }))).toBe('ERR_ISCSI_GENERATION_UNKNOWN')
  })

  it('can be followed by another generation, beside the one that was given up', async () => {
    await release(0x11)
    await release(0x22, 4096)
    await control().rollback({})
    await release(0x33, 8192)
    expect([await seen(0), await seen(4096), await seen(8192)]).toEqual([0x11, BASE_BYTE, 0x33])
    await control().rollback({ to: 2 })
    expect([await seen(0), await seen(4096), await seen(8192)]).toEqual([0x11, 0x22, BASE_BYTE])
  })
})

describe('a test', () => {
  it('gives the named ones and the author a generation that others do not get', async () => {
    await bench.visit(0x11, LOGOUT, as(STUDIO))
    await control().publish({ test: ['iqn.1991-05.com.microsoft:al*'] })
    expect([await seen(0, ALICE), await seen(0, BOB), await seen(0, STUDIO)]).toEqual([0x11, BASE_BYTE, 0x11])
    await bench.start()
    expect([await seen(0, ALICE), await seen(0, BOB)]).toEqual([0x11, BASE_BYTE])
    await control().publish({ generation: 1 })
    expect([await seen(0, ALICE), await seen(0, BOB)]).toEqual([0x11, 0x11])
    expect((await image()).tests).toEqual([])
  })

  it('ends when it is taken back, for one or for all', async () => {
    await bench.visit(0x11, LOGOUT, as(STUDIO))
    await control().publish({ test: [ALICE, BOB] })
    await control().test({ initiators: [ALICE] })
    expect([await seen(0, ALICE), await seen(0, BOB)]).toEqual([BASE_BYTE, 0x11])
    await control().test({ initiators: [ALICE], generation: 1 })
    expect(await seen(0, ALICE)).toBe(0x11)
    await control().test({ initiators: [] })
    expect([await seen(0, ALICE), await seen(0, BOB)]).toEqual([BASE_BYTE, BASE_BYTE])
    expect(await failure(control().test({ initiators: [], generation: 1 }))).toBe('ERR_ISCSI_TEST')
    expect(await failure(control().test({ initiators: [ALICE], generation: 9 }))).toBe('ERR_ISCSI_GENERATION_UNKNOWN')
  })
})

describe('a crash', () => {
  it('before the record names the generation leaves the delta with its author', async () => {
    await release(0x11)
    await bench.visit(0x22, LOGOUT, as(STUDIO))
    const record = await recordPath()
    const before = await readFile(record)
    await control().publish({})
    const layer = await layerPath()
    await bench.stop()
    await writeFile(record, before)
    for (const name of ['0002.map', '0002.slots']) await chmod(join(layer, name), 0o600)
    await putBackInitiator()
    await bench.start()
    expect([await seen(0), await seen(0, STUDIO)]).toEqual([0x11, 0x22])
    expect(bench.log.lines.join()).toMatch(/a publish was cut short/)
    await control().publish({})
    expect(await seen()).toBe(0x22)
  })

  /** The record of the author as it was before its delta became a generation. */
  async function putBackInitiator(): Promise<void> {
    const folder = join(bench.state, 'initiators')
    for (const name of await readdir(folder)) await rm(join(folder, name))
    const deltas = await readdir(join(bench.state, 'deltas'))
    expect(deltas.length).toBeLessThanOrEqual(1)
    await writeRecord()
  }

  async function writeRecord(): Promise<void> {
    const parts = [TARGET, STUDIO].map((part) => `${Buffer.byteLength(part)}:${part}`).join('')
    const hash = createHash('sha256').update(parts).digest('hex').slice(0, 32)
    const unit = { lun: 0, incarnation: 0, epoch: 0, stored: true }
    const record = { version: 1, targetName: TARGET, initiatorName: STUDIO, lastSeen: 0, lastAddress: '', isids: [] }
    const all = { ...record, incarnationFloor: 0, letGo: true, end: 'logout, reason 0', units: [unit] }
    await writeFile(join(bench.state, 'initiators', `${hash}.json`), JSON.stringify(all))
  }

  it('behind it takes nothing from the author, and does not look like a loss', async () => {
    await release(0x11)
    await bench.visit(0x22, LOGOUT, as(STUDIO))
    const before = await bench.login(as(STUDIO))
    const serial = serialOf(before)
    await bench.end(before, LOGOUT)
    await control().publish({})
    const record = await recordPath()
    await bench.stop()
    await putBackInitiator()
    const value = JSON.parse(await readFile(record, 'utf8')) as { generations: object[] }
    Object.assign(value.generations[2]!, { source: { targetName: TARGET, initiatorName: STUDIO, lun: 0, epoch: 1 } })
    await writeFile(record, JSON.stringify(value))
    await bench.start()
    expect(bench.log.lines.join()).not.toMatch(/lost its delta/)
    const after = await bench.login(as(STUDIO))
    expect([serialOf(after), await bench.read(after, 0)]).toEqual([serial, 0x22])
  })

  it('that lost the record of the generations lets nobody in', async () => {
    await release(0x11)
    const record = await recordPath()
    await bench.stop()
    await rename(record, `${record}.away`)
    await bench.start()
    expect(await bench.login().then(() => '', messageOf)).toMatch(/does not know it/)
    await bench.stop()
    await rename(`${record}.away`, record)
    await bench.start()
    expect(await seen()).toBe(0x11)
  })
})

describe('the raw file', () => {
  it('that another program changed below generations lets nobody in, and says why', async () => {
    await release(0x11)
    await bench.stop()
    await writeFile(bench.image, Buffer.alloc(IMAGE_BYTES, 0x99))
    await bench.start()
    expect(await bench.login().then(() => '', messageOf)).toMatch(/was changed by another program/)
    expect(await failure(control().publish({ generation: 0 }))).toBe('ERR_ISCSI_IMAGE_CHANGED')
    expect((await image()).trouble).toMatch(/was changed/)
  })

  it('that another program writes into while it is served lets nobody new in, and the log says so once', async () => {
    const alice = await bench.login()
    bench.clock.advance(RAW_WATCH_MS)
    await bench.settled()
    expect(bench.log.with('error')).toEqual([])
    await writeFile(bench.image, Buffer.alloc(IMAGE_BYTES, 0x99))
    const told = () => bench.log.with('error', 'was changed, moved or exchanged').length
    for (let round = 0; round < 200 && told() === 0; round++) {
      bench.clock.advance(RAW_WATCH_MS)
      await bench.settled()
    }
    bench.clock.advance(RAW_WATCH_MS)
    await bench.settled()
    expect(told()).toBe(1)
    expect(await bench.login(as(BOB)).then(() => '', messageOf)).toMatch(/nobody new is let in/)
    expect(await bench.read(alice, 0)).toBe(0x99)
  })

  it('is written by no author while generations lie above it', async () => {
    await release(0x11)
    await bench.start({ targets: [bench.target({ authors: [ALICE] })] })
    expect(await bench.login().then(() => '', messageOf)).toMatch(/has generations above the raw file.*--policy/)
    expect(await seen()).toBe(0x11)
  })
})

describe('any order of events', () => {
  it('shows each client the generation that it began with, and new ones the chosen one', async () => {
    for (let round = 0; round < steps(3); round++) await history(new Random(seedOf(500 + round)))
  })

  /** A model: the content of each generation as one byte a chunk. */
  async function history(random: Random): Promise<void> {
    const CHUNKS = 6
    await bench.remove()
    bench = await TargetBench.make({}, { initiators: [{ match: STUDIO, policy: 'author' }] })
    await bench.start()
    const contents = [Array<number>(CHUNKS).fill(BASE_BYTE)]
    let current = 0
    const live = new Map<Nexus, number[]>()
    for (let step = 0; step < 30; step++) {
      const what = random.int(5)
      if (what === 0) {
        const chunk = random.int(CHUNKS)
        const fill = 1 + random.int(200)
        await release(fill, chunk * 4096)
        contents.push(contents[current]!.map((byte, at) => (at === chunk ? fill : byte)))
        current = contents.length - 1
      } else if (what === 1 && live.size < 5) {
        live.set(await bench.login(as(`iqn.2026-01.org.example:pc-${step}`)), [...contents[current]!])
      } else if (what === 2) {
        current = random.int(contents.length)
        await control().rollback({ to: current })
      } else {
        for (const [nexus, content] of live) {
          const chunk = random.int(CHUNKS)
          if (what === 3) {
            content[chunk] = 1 + random.int(200)
            await bench.write(nexus, chunk * 4096, content[chunk])
          }
          const found = await Promise.all(content.map((_, at) => bench.read(nexus, at * 4096)))
          expect([random.seed, step, found]).toEqual([random.seed, step, content])
        }
      }
    }
  }
})

describe('a change by one of several processes', () => {
  it('is made to what is there, also when the news of what another one made was lost', async () => {
    const state = await StateDirectory.open(bench.state, bench.log)
    const uuid = '0f8fad5b-d9cb-469f-a165-70867728950e'
    const deaf: ImageTogether = {
      change: (_uuid, work) => work(),
      tell: () => Promise.resolve(),
      isMerging: () => Promise.resolve(false),
      isRead: () => Promise.resolve(false)
    }
    const make = async () => {
      const one = new Generations({ uuid, path: bench.image, state, now: () => 1000, log: bench.log, together: deaf })
      await one.load()
      // All that is asked of the raw file here.
      await one.attach({ whole: { size: IMAGE_BYTES } } as StoredImage, undefined)
      return one
    }
    const [one, two] = [await make(), await make()]
    await one.grow(2 * IMAGE_BYTES)
    expect(await failure(two.grow(2 * IMAGE_BYTES))).toBe('ERR_ISCSI_GROW')
    await two.grow(3 * IMAGE_BYTES)
    await one.choose(1)
    const { record } = await make()
    expect(record.generations.map(({ number, parent, size }) => [number, parent, size])).toEqual([
      [0, undefined, IMAGE_BYTES],
      [1, 0, 2 * IMAGE_BYTES],
      [2, 1, 3 * IMAGE_BYTES]
    ])
    expect(record.current).toBe(1)
  })
})
