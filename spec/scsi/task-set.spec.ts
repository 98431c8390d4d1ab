import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { TaskSet } from '../../lib/scsi/task-set.js'
import { TaskAttribute, TaskState, type Task } from '../../lib/scsi/task.js'
import { Random, seedOf, steps } from '../support/random.js'
import { Host, makeNexus, makeUnit } from '../support/scsi.js'

/** Simple, ordered, head of queue; with `!` a command that must run alone. */
const ATTRIBUTES: Record<string, number> = {
  s: TaskAttribute.Simple,
  o: TaskAttribute.Ordered,
  h: TaskAttribute.HeadOfQueue
}

class Bench {
  readonly set = new TaskSet()
  readonly started: string[] = []
  readonly tasks = new Map<string, Task>()
  private readonly host = new Host()
  private readonly nexus = makeNexus([makeUnit()])

  /** `s1` a simple task with the name s1, `o!2` an ordered one that must be alone … */
  enter(...names: string[]): void {
    for (const name of names) {
      const task = this.host.make(this.nexus, '00', { attribute: ATTRIBUTES[name[0]!]! })
      this.tasks.set(name, task)
      if (this.set.enter(task, name[1] === '!', () => this.started.push(name))) this.started.push(name)
    }
  }

  leave(...names: string[]): void {
    for (const name of names) this.set.leave(this.tasks.get(name)!)
  }

  /** What has started since the last question. */
  get news(): string {
    return this.started.splice(0).join(' ')
  }
}

describe('a task set (SAM-5 §8)', () => {
  it('starts simple tasks at once', () => {
    const bench = new Bench()
    bench.enter('s1', 's2', 's3')
    expect(bench.news).toBe('s1 s2 s3')
    bench.leave('s1', 's2')
    expect(bench.set.idle).toBe(false)
    bench.leave('s3')
    expect(bench.set.idle).toBe(true)
  })

  it('holds an ordered task until all before it have ended, and all after it until it has', () => {
    const bench = new Bench()
    bench.enter('s1', 's2', 'o1', 's3', 's4')
    expect(bench.news).toBe('s1 s2')
    expect(bench.tasks.get('o1')!.state).toBe(TaskState.Blocked)
    bench.leave('s1')
    expect(bench.news).toBe('')
    bench.leave('s2')
    expect(bench.news).toBe('o1')
    bench.leave('o1')
    expect(bench.news).toBe('s3 s4')
  })

  it('lets ordered tasks follow each other one by one', () => {
    const bench = new Bench()
    bench.enter('o1', 'o2', 'o3')
    expect(bench.news).toBe('o1')
    bench.leave('o1')
    expect(bench.news).toBe('o2')
    bench.leave('o2')
    expect(bench.news).toBe('o3')
  })

  it('lets head of queue overtake, and the ordered task that runs keeps holding the others', () => {
    const bench = new Bench()
    bench.enter('o1', 's1', 'h1')
    expect(bench.news).toBe('o1 h1')
    bench.enter('s2')
    bench.leave('h1')
    expect(bench.news).toBe('')
    bench.leave('o1')
    expect(bench.news).toBe('s1 s2')
  })

  it('runs a command alone whatever its attribute', () => {
    const bench = new Bench()
    bench.enter('s1', 's!1', 's2')
    expect(bench.news).toBe('s1')
    bench.leave('s1')
    expect(bench.news).toBe('s!1')
    bench.leave('s!1')
    expect(bench.news).toBe('s2')
  })

  it('lets not even head of queue join a command that must be alone, but puts it first', () => {
    const bench = new Bench()
    bench.enter('s!1', 's1', 'h1')
    expect(bench.news).toBe('s!1')
    bench.leave('s!1')
    expect(bench.news).toBe('h1 s1')
  })

  it('makes head of queue wait that must be alone itself', () => {
    const bench = new Bench()
    bench.enter('s1', 'h!1', 's2')
    expect(bench.news).toBe('s1')
    bench.leave('s1')
    expect(bench.news).toBe('h!1')
    bench.leave('h!1')
    expect(bench.news).toBe('s2')
  })

  it('starts what waited behind a blocked task that is taken out', () => {
    const bench = new Bench()
    bench.enter('s1', 'o1', 's2')
    expect(bench.set.remove(bench.tasks.get('o1')!)).toBe(true)
    expect(bench.news).toBe('s1 s2')
    expect(bench.set.remove(bench.tasks.get('s1')!)).toBe(false)
  })

  it('lets a blocked task leave without counting it as one that ran', () => {
    const bench = new Bench()
    bench.enter('o1', 's1')
    bench.leave('s1', 's1')
    bench.enter('s2')
    expect(bench.news).toBe('o1')
    bench.leave('o1')
    expect(bench.news).toBe('s2')
    bench.leave('s2')
    expect(bench.set.idle).toBe(true)
  })

  it('does not start an aborted task because the one before it went', () => {
    const bench = new Bench()
    bench.enter('s1', 'o1', 'o2', 's2')
    for (const name of ['o1', 'o2']) bench.tasks.get(name)!.aborted = true
    bench.set.remove(bench.tasks.get('o1')!)
    expect(bench.news).toBe('s1 s2')
    expect(bench.tasks.get('o2')!.taskSetIndex).toBe(-1)
  })

  it('lists its tasks and tells when some of them have left', () => {
    const bench = new Bench()
    bench.enter('s1', 's2', 'o1')
    const [s1, s2, o1] = ['s1', 's2', 'o1'].map((name) => bench.tasks.get(name)!)
    expect(new Set(bench.set.tasks)).toEqual(new Set([s1, s2, o1]))
    const told: string[] = []
    bench.set.whenLeft([s1!, o1!], () => told.push('s1 o1'))
    bench.set.whenLeft([s2!], () => told.push('s2'))
    bench.set.whenLeft([], () => told.push('none'))
    expect(told).toEqual(['none'])
    bench.leave('s1')
    expect(told).toEqual(['none'])
    bench.set.remove(o1!)
    bench.leave('s2')
    expect(told).toEqual(['none', 's1 o1', 's2'])
    bench.set.whenLeft([s1!, s2!, o1!], () => told.push('gone'))
    expect(told.at(-1)).toBe('gone')
  })

  const seed = seedOf(20260802)
  it(`keeps the rules through thousands of steps (seed ${seed})`, () => {
    const random = new Random(seed)
    const bench = new Bench()
    const running: string[] = []
    const blocked: string[] = []
    for (let step = 0; step < steps(5000); step++) {
      if (running.length > 0 && random.chance(0.5)) {
        const name = running.splice(random.int(running.length), 1)[0]!
        bench.leave(name)
      } else if (blocked.length > 0 && random.chance(0.1)) {
        const name = blocked.splice(random.int(blocked.length), 1)[0]!
        assert(bench.set.remove(bench.tasks.get(name)!))
      } else {
        const name = `${random.pick(['s', 's', 's', 'o', 'h'])}${random.chance(0.1) ? '!' : ''}${step}`
        blocked.push(name)
        bench.enter(name)
      }
      for (const name of bench.started.splice(0)) {
        assert(blocked.includes(name))
        blocked.splice(blocked.indexOf(name), 1)
        running.push(name)
      }
      if (running.some((name) => name[1] === '!')) assert.equal(running.length, 1)
      if (running.some((name) => name[0] === 'o')) {
        assert.equal(running.filter((name) => name[0] !== 'h').length, 1)
      }
      // Nobody waits for nothing.
      if (running.length === 0) assert.equal(blocked.length, 0)
      assert.equal(bench.set.tasks.length, running.length + blocked.length)
    }
  })
})
