import { TaskAttribute, TaskState, type Task } from './task.js'

/**
 * The task set of a unit (SAM-5 §8): SIMPLE tasks run at once; an ORDERED one waits until all before it have ended,
 * and all after it wait for it; HEAD OF QUEUE overtakes them. A command that must run alone is ordered whatever its
 * attribute, and not even HEAD OF QUEUE joins it. Most tasks end inside the turn that started them and only pass a few
 * counters here; nothing is allocated for them.
 */
export class TaskSet {
  /** All that have entered and not left, blocked ones included, in no order; each knows its place. */
  private readonly live: Task[] = []
  private running = 0
  /** An ordered task runs: nothing but HEAD OF QUEUE may start. */
  private barrier = false
  /** A command runs that must be alone: nothing may start. */
  private exclusive = false
  /** In the order in which they may start. Bounded by the command windows of the nexuses that feed it. */
  private readonly blocked: BlockedTask[] = []
  private readonly waiters: Waiter[] = []

  /** May the task start now? If not it is kept, its state is Blocked, and `start` is called when its time has come. */
  enter(task: Task, alone: boolean, start: (task: Task) => void): boolean {
    task.taskSetIndex = this.live.push(task) - 1
    const headOfQueue = task.attribute === TaskAttribute.HeadOfQueue
    const ordered = alone || task.attribute === TaskAttribute.Ordered
    if (this.mustWait(headOfQueue, ordered)) {
      task.state = TaskState.Blocked
      const entry = { task, headOfQueue, ordered, alone, start }
      if (headOfQueue) this.blocked.unshift(entry)
      else this.blocked.push(entry)
      return false
    }
    this.count(ordered, alone)
    return true
  }

  /** A task that had entered has ended; harmless for one that never entered or was removed. */
  leave(task: Task): void {
    if (task.taskSetIndex < 0 || this.remove(task)) return
    this.unlink(task)
    this.running--
    if (this.running === 0) this.barrier = this.exclusive = false
    if (this.blocked.length > 0) this.startBlocked()
    if (this.waiters.length > 0) this.tellWaiters(task)
  }

  /** Takes a blocked task out (aborted); false when it is not blocked here. */
  remove(task: Task): boolean {
    const index = this.blocked.length === 0 ? -1 : this.blocked.findIndex((entry) => entry.task === task)
    if (index < 0) return false
    this.blocked.splice(index, 1)
    this.unlink(task)
    this.startBlocked()
    if (this.waiters.length > 0) this.tellWaiters(task)
    return true
  }

  get idle(): boolean {
    return this.live.length === 0
  }

  /** A copy of the tasks that have entered and not left, blocked ones included. */
  get tasks(): Task[] {
    return [...this.live]
  }

  /** Calls back once, when all of `tasks` have left; at once when they are gone already. */
  whenLeft(tasks: Iterable<Task>, callback: () => void): void {
    const remaining = new Set<Task>()
    for (const task of tasks) if (this.live[task.taskSetIndex] === task) remaining.add(task)
    if (remaining.size === 0) callback()
    else this.waiters.push({ remaining, callback })
  }

  private mustWait(headOfQueue: boolean, ordered: boolean): boolean {
    if (ordered && this.running > 0) return true
    return headOfQueue ? this.exclusive : this.barrier || this.blocked.length > 0
  }

  private count(ordered: boolean, alone: boolean): void {
    this.running++
    if (ordered) this.barrier = true
    if (alone) this.exclusive = true
  }

  private startBlocked(): void {
    while (this.blocked.length > 0) {
      const head = this.blocked[0]!
      // Task management is about to take it out; it must not start because a neighbour went first.
      if (head.task.aborted) {
        this.blocked.shift()
        this.unlink(head.task)
        continue
      }
      if (this.exclusive || (this.barrier && !head.headOfQueue) || (head.ordered && this.running > 0)) return
      this.blocked.shift()
      this.count(head.ordered, head.alone)
      head.start(head.task)
    }
  }

  private unlink(task: Task): void {
    const last = this.live.pop()!
    if (last !== task) {
      this.live[task.taskSetIndex] = last
      last.taskSetIndex = task.taskSetIndex
    }
    task.taskSetIndex = -1
  }

  private tellWaiters(task: Task): void {
    for (let index = this.waiters.length - 1; index >= 0; index--) {
      const waiter = this.waiters[index]!
      waiter.remaining.delete(task)
      if (waiter.remaining.size > 0) continue
      this.waiters.splice(index, 1)
      waiter.callback()
    }
  }
}

interface BlockedTask {
  readonly task: Task
  readonly headOfQueue: boolean
  readonly ordered: boolean
  readonly alone: boolean
  readonly start: (task: Task) => void
}

interface Waiter {
  readonly remaining: Set<Task>
  readonly callback: () => void
}
