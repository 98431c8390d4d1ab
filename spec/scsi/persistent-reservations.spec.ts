import { describe, expect, it } from '@jest/globals'
import { commands } from '../../lib/scsi/commands/index.js'
import { MAX_REGISTRATIONS, PersistentReservations } from '../../lib/scsi/persistent-reservations.js'
import { INSUFFICIENT_REGISTRATION_RESOURCES, INVALID_RELEASE } from '../../lib/scsi/sense.js'
import { makeNexus } from '../support/scsi.js'

const [a, b, c] = ['a', 'b', 'c'].map((name) => makeNexus([], { initiatorName: `iqn.2000-01.org:${name}` })) as [
  ReturnType<typeof makeNexus>,
  ReturnType<typeof makeNexus>,
  ReturnType<typeof makeNexus>
]
const NAMES = new Map([
  [a.id, 'a'],
  [b.id, 'b'],
  [c.id, 'c']
])

/** Unit attentions as text: who, and the additional sense code. */
class Bench {
  private readonly told: string[] = []
  readonly state = new PersistentReservations((id, { asc, ascq }) => {
    this.told.push(`${NAMES.get(id)} ${asc.toString(16)}/${ascq.toString(16).padStart(2, '0')}`)
  })

  constructor(...keys: bigint[]) {
    keys.forEach((key, index) => this.state.registerAndIgnore([a, b, c][index]!, key))
  }

  get news(): string {
    return this.told.splice(0).sort().join(', ')
  }

  get registered(): string {
    return this.state.registrations.map(({ nexusId, key }) => `${NAMES.get(nexusId)}=${key}`).join(' ')
  }
}

describe('registrations (SPC-4 §5.13.7)', () => {
  it('need the key that is registered, and 0 where none is', () => {
    const { state } = new Bench()
    expect(state.register(a, 1n, 2n)).toBe('conflict')
    expect(state.register(a, 0n, 2n)).toBe('good')
    expect(state.register(a, 0n, 3n)).toBe('conflict')
    expect(state.register(a, 2n, 3n)).toBe('good')
    expect(state.register(a, 2n, 0n)).toBe('conflict')
    expect(state.register(a, 3n, 0n)).toBe('good')
    expect(state.empty).toBe(true)
    expect(state.register(a, 0n, 0n)).toBe('good')
  })

  it('count a generation for each change, and none for what changes nothing', () => {
    const { state } = new Bench()
    state.registerAndIgnore(a, 0n)
    expect(state.generation).toBe(0)
    state.registerAndIgnore(a, 1n)
    state.registerAndIgnore(a, 1n)
    expect(state.generation).toBe(2)
    state.reserve(a, 1n, 1)
    state.release(a, 1n, 1)
    expect(state.generation).toBe(2)
    state.registerAndIgnore(a, 0n)
    expect(state.generation).toBe(3)
  })

  it('are the same nexus again after it was gone', () => {
    const { state } = new Bench(1n)
    const back = makeNexus([], { initiatorName: 'iqn.2000-01.org:a' })
    expect(state.register(back, 1n, 5n)).toBe('good')
    expect(state.isRegistered(makeNexus([], { initiatorName: a.initiatorName, isid: '400001370009' }))).toBe(false)
  })

  it(`are at most ${MAX_REGISTRATIONS}; one that is there can still be changed`, () => {
    const { state } = new Bench(1n)
    for (let i = 1; i < MAX_REGISTRATIONS; i++) {
      expect(state.registerAndIgnore(makeNexus([], { isid: i.toString(16).padStart(12, '0') }), 1n)).toBe('good')
    }
    expect(state.registerAndIgnore(b, 1n)).toBe(INSUFFICIENT_REGISTRATION_RESOURCES)
    expect(state.registerAndIgnore(a, 9n)).toBe('good')
  })
})

describe('a persistent reservation', () => {
  it.each([1, 3, 5, 6, 7, 8])('of type %d is had by one key, for registered nexuses alone', (type) => {
    const { state } = new Bench(1n, 2n)
    expect(state.reserve(c, 0n, type)).toBe('conflict')
    expect(state.reserve(a, 2n, type)).toBe('conflict')
    expect(state.reserve(a, 1n, type)).toBe('good')
    expect(state.reserve(a, 1n, type)).toBe('good')
    expect(state.reserve(a, 1n, type === 1 ? 3 : 1)).toBe('conflict')
    // All registrants hold types 7 and 8.
    expect(state.reserve(b, 2n, type)).toBe(type >= 7 ? 'good' : 'conflict')
    expect(state.reservationKey).toBe(type >= 7 ? 0n : 1n)
  })

  /** SPC-4 table 65, columns: READ and WRITE of a registered nexus, READ and WRITE of one that is not. */
  it.each([
    [1, true, false, true, false],
    [3, false, false, false, false],
    [5, true, true, true, false],
    [6, true, true, false, false],
    [7, true, true, true, false],
    [8, true, true, false, false]
  ])('of type %d lets others read and write: registered %s %s, unregistered %s %s', (type, ...expected) => {
    const { state } = new Bench(1n, 2n)
    state.reserve(a, 1n, type)
    const [read, write] = ['READ(10)', 'WRITE(10)'].map((name) => commands.find((one) => one.name === name)!)
    expect([b, c].flatMap((nexus) => [!state.conflicts(nexus, read!), !state.conflicts(nexus, write!)])).toEqual(
      expected
    )
    expect([state.conflicts(a, read!), state.conflicts(a, write!)]).toEqual([false, false])
  })

  it.each([
    ['TEST UNIT READY', true, true],
    ['INQUIRY', true, true],
    ['REPORT LUNS', true, true],
    ['REQUEST SENSE', true, true],
    ['READ CAPACITY(16)', true, true],
    ['LOG SENSE', true, true],
    ['MODE SENSE(6)', true, false],
    ['REPORT SUPPORTED OPERATION CODES', true, false],
    ['VERIFY(10)', true, false],
    ['GET LBA STATUS', true, false],
    ['MODE SELECT(10)', false, false],
    ['SYNCHRONIZE CACHE(10)', false, false],
    ['UNMAP', false, false],
    ['COMPARE AND WRITE', false, false],
    ['SEND DIAGNOSTIC', false, false]
  ])('lets %s of others pass: write exclusive %s, exclusive access %s', (name, ...expected) => {
    const command = commands.find((one) => one.name === name)!
    const passes = [1, 3].map((type) => {
      const { state } = new Bench(1n)
      state.reserve(a, 1n, type)
      return !state.conflicts(b, command)
    })
    expect(passes).toEqual(expected)
  })

  it.each([
    [1, ''],
    [3, ''],
    [5, 'b 2a/04, c 2a/04'],
    [6, 'b 2a/04, c 2a/04'],
    [7, 'b 2a/04, c 2a/04'],
    [8, 'b 2a/04, c 2a/04']
  ])('of type %d is released by its holder, and the other registrants hear: "%s"', (type, news) => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, type)
    expect(bench.state.release(a, 9n, type)).toBe('conflict')
    expect(bench.state.release(a, 1n, type === 1 ? 3 : 1)).toBe(INVALID_RELEASE)
    expect(bench.state.release(a, 1n, type)).toBe('good')
    expect(bench.state.type).toBeUndefined()
    expect(bench.news).toBe(news)
    expect(bench.state.release(a, 1n, type)).toBe('good')
  })

  it('is not released by a registered nexus that does not hold it, which is good all the same', () => {
    const { state } = new Bench(1n, 2n)
    state.reserve(a, 1n, 1)
    expect(state.release(b, 2n, 1)).toBe('good')
    expect(state.type).toBe(1)
  })

  it.each([
    [1, undefined, ''],
    [3, undefined, ''],
    [5, undefined, 'b 2a/04, c 2a/04'],
    [6, undefined, 'b 2a/04, c 2a/04'],
    [7, 7, ''],
    [8, 8, '']
  ])('of type %d is %s after its maker unregistered, and the others hear: "%s"', (type, left, news) => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, type)
    bench.state.registerAndIgnore(a, 0n)
    expect(bench.state.type).toBe(left)
    expect(bench.news).toBe(news)
  })

  it('of all registrants ends with the last of them', () => {
    const { state } = new Bench(1n, 2n)
    state.reserve(a, 1n, 8)
    state.registerAndIgnore(a, 0n)
    state.registerAndIgnore(b, 0n)
    expect(state.type).toBeUndefined()
  })

  it('is cleared together with all registrations, and the others hear', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 3)
    expect(bench.state.clear(b, 9n)).toBe('conflict')
    const before = bench.state.generation
    expect(bench.state.clear(b, 2n)).toBe('good')
    expect([bench.state.empty, bench.state.type, bench.state.generation]).toEqual([true, undefined, before + 1])
    expect(bench.news).toBe('a 2a/03, c 2a/03')
  })
})

describe('PREEMPT (SPC-4 §5.13.11.4)', () => {
  it('takes over the reservation of the key that it names', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 1)
    const before = bench.state.generation
    expect(bench.state.preempt(b, 2n, 1n, 3)).toEqual({ outcome: 'good', preempted: [a.id] })
    expect(bench.registered).toBe('b=2 c=3')
    expect([bench.state.type, bench.state.reservationKey, bench.state.generation]).toEqual([3, 2n, before + 1])
    expect(bench.news).toBe('a 2a/05')
  })

  it('tells who stays registered that a registrants reservation has changed its type', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 5)
    bench.state.preempt(b, 2n, 1n, 6)
    expect(bench.news).toBe('a 2a/05, c 2a/04')
  })

  it('removes registrations by their key where no reservation is touched', () => {
    const bench = new Bench(7n, 2n, 7n)
    expect(bench.state.preempt(b, 2n, 7n, 1).preempted).toEqual([a.id, c.id])
    expect(bench.registered).toBe('b=2')
    expect(bench.state.type).toBeUndefined()
    expect(bench.news).toBe('a 2a/05, c 2a/05')
  })

  it('leaves a reservation alone that is of another key', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 3)
    expect(bench.state.preempt(b, 2n, 3n, 1).outcome).toBe('good')
    expect([bench.registered, bench.state.type, bench.state.reservationKey]).toEqual(['a=1 b=2', 3, 1n])
  })

  it('takes over from all registrants with key 0', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 7)
    expect(bench.state.preempt(b, 2n, 0n, 1).preempted).toEqual([a.id, c.id])
    expect([bench.registered, bench.state.type, bench.state.reservationKey]).toEqual(['b=2', 1, 2n])
    expect(bench.news).toBe('a 2a/05, c 2a/05')
  })

  it('removes one of all registrants by its key, and the reservation stays', () => {
    const bench = new Bench(1n, 2n, 3n)
    bench.state.reserve(a, 1n, 8)
    expect(bench.state.preempt(b, 2n, 1n, 8).outcome).toBe('good')
    expect([bench.registered, bench.state.type]).toEqual(['b=2 c=3', 8])
  })

  it('changes the type of one’s own reservation, keeping the registration', () => {
    const bench = new Bench(1n, 2n)
    bench.state.reserve(a, 1n, 1)
    expect(bench.state.preempt(a, 1n, 1n, 3)).toEqual({ outcome: 'good', preempted: [] })
    expect([bench.registered, bench.state.type, bench.state.reservationKey]).toEqual(['a=1 b=2', 3, 1n])
    expect(bench.news).toBe('')
  })

  it.each([
    ['of a nexus that is not registered', c, 0n, 1n, 'conflict'],
    ['with a wrong key', b, 9n, 1n, 'conflict'],
    ['of a key that nobody has', b, 2n, 9n, 'conflict'],
    ['of key 0 where not all registrants hold', b, 2n, 0n, 'INVALID FIELD IN PARAMETER LIST']
  ])('refuses an order %s', (_what, nexus, key, victim, expected) => {
    const bench = new Bench(1n, 2n)
    bench.state.reserve(a, 1n, 1)
    const { outcome, preempted } = bench.state.preempt(nexus, key, victim, 1)
    expect(typeof outcome === 'string' ? outcome : outcome.name).toBe(expected)
    expect(preempted).toEqual([])
    expect([bench.registered, bench.state.type, bench.news]).toEqual(['a=1 b=2', 1, ''])
  })
})
