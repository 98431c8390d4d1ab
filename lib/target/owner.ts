import type { NexusRequest, SessionEnd } from '../iscsi/directory.js'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import type { Nexus } from '../scsi/nexus.js'
import type { CopyPart } from './delta-copy.js'
import type { CopyRequest, RescueRequest, UnitDetail } from './delta-inspection.js'
import type { Discarded } from './epoch-ends.js'
import type { PublishRequest } from './generations/delta-publisher.js'
import type { Generation } from './generations/generation-record.js'
import type { Initiator } from './initiator.js'
import type { InitiatorRole } from './initiator-context.js'
import type { InitiatorView } from './initiator-view.js'
import type { DeltaEvent } from './restore-policy.js'
import type { Undone, UndoRequest } from './restore-undo.js'
import type { EnlargeRequest } from './units.js'
import { messageOf } from '../util/errors.js'

/** Names an initiator as one target knows it. */
export interface InitiatorKey {
  readonly targetName: string
  readonly initiatorName: string
}

/** Something could not be done for this one. */
export interface Stuck {
  readonly initiatorName: string
  readonly why: string
}

/**
 * The seam behind which initiators live. Everything that others want of an initiator goes through here, by key and
 * asynchronously, so that it can live in another process: then an implementation that asks a worker takes the place of
 * {@link LocalOwners}, and nothing else changes.
 */
export interface Owners {
  /** Throws LoginError to refuse. */
  openNexus(request: NexusRequest, role: InitiatorRole): Promise<Nexus>
  closeNexus(nexus: Nexus, end: SessionEnd): Promise<void>
  /** From now on until {@link undrain} this initiator cannot log in. */
  drain(key: InitiatorKey): Promise<void>
  undrain(key: InitiatorKey): Promise<void>
  /** Takes the deltas of an initiator without sessions away. */
  discard(key: InitiatorKey, event: DeltaEvent, lun?: number): Promise<Discarded>
  /** Notes that it is to be restored at its next login. */
  mark(key: InitiatorKey): Promise<void>
  /** A login under this ISID would be a boot of its PC that drops something. */
  restoresAtBoot(key: InitiatorKey, isid: string): Promise<boolean>
  /** Policies have changed. */
  reconsider(): Promise<void>
  /** What an initiator has written, and where. */
  show(key: InitiatorKey, names: boolean): Promise<readonly UnitDetail[]>
  /** A disk of it as it sees it, or saw it last; throws TargetError when that may not be. */
  copy(key: InitiatorKey, what: CopyRequest): AsyncGenerator<CopyPart>
  /** One file of it. */
  rescue(key: InitiatorKey, what: RescueRequest): AsyncGenerator<CopyPart>
  /** Gives an initiator back what its last logout dropped; throws TargetError when that may not be. */
  undo(key: InitiatorKey, request: UndoRequest): Promise<Undone>
  /** Makes what an initiator wrote a generation of the image; throws TargetError when that may not be. */
  publish(key: InitiatorKey, request: PublishRequest): Promise<Generation>
  /**
   * An initiator gets the newest generation of this image at its next login, unless it wrote something over its own.
   * False while it has a session: it happens when that ends.
   */
  advance(key: InitiatorKey, imageUuid: string): Promise<boolean>
  /**
   * Whoever sees the one generation sees the other from now on, which shows the same. Answers who could not.
   * @param signal - stops it where no initiator is half done
   */
  enlarge(request: EnlargeRequest, signal?: AbortSignal): Promise<Stuck[]>
  list(): Promise<InitiatorView[]>
  /** Resolves when everything that was begun has ended. */
  idle(): Promise<void>
  /** Closes all deltas and keeps them. */
  close(): Promise<void>
}

/** Initiators of a target that are remembered at most: those with a session, a delta, or a changed identity. */
export const MAX_INITIATORS = 16_384
/** So many of them are forgotten at once when there is no room for a new one, the longest absent first. */
export const FORGET_BATCH = 64
/** Deltas of absent clients that stay open, so that a short break of the network costs no replay of the journal. */
export const MAX_IDLE_OPEN = 32

/** All initiators of one target in this process. */
export class LocalOwners implements Owners {
  private readonly initiators = new Map<string, Initiator>()
  /** Without session, deltas open; the longest absent first. */
  private readonly absent = new Set<Initiator>()

  /**
   * @param make - a new initiator, which nothing is remembered of
   * @param raiseFloor - resolves when it is safe on disk that initiators that are made from now on start with this
   *   incarnation or a higher one: so nobody who is forgotten comes back under an identity that lost a delta
   */
  constructor(
    private readonly make: (key: InitiatorKey) => Initiator,
    private readonly raiseFloor: (incarnation: number) => Promise<void>,
    private readonly maxInitiators = MAX_INITIATORS
  ) {}

  /** Takes in an initiator that an earlier run left. */
  async adopt(initiator: Initiator): Promise<void> {
    this.initiators.set(initiator.key, initiator)
    await initiator.resume()
  }

  async openNexus(request: NexusRequest, role: InitiatorRole): Promise<Nexus> {
    if (!this.initiators.has(keyOf(request)) && this.initiators.size >= this.maxInitiators) await this.makeRoom()
    const initiator = this.get(request)
    this.absent.delete(initiator)
    try {
      return await initiator.openNexus(request, role)
    } finally {
      this.restSoon(initiator)
    }
  }

  async closeNexus(nexus: Nexus, end: SessionEnd): Promise<void> {
    const initiator = this.initiators.get(keyOf(nexus))
    if (!initiator) return
    await initiator.closeNexus(nexus, end)
    this.restSoon(initiator)
  }

  drain(key: InitiatorKey): Promise<void> {
    this.initiators.get(keyOf(key))?.drain()
    return Promise.resolve()
  }

  undrain(key: InitiatorKey): Promise<void> {
    this.initiators.get(keyOf(key))?.undrain()
    return Promise.resolve()
  }

  async discard(key: InitiatorKey, event: DeltaEvent, lun?: number): Promise<Discarded> {
    const initiator = this.initiators.get(keyOf(key))
    if (!initiator) return { bytes: 0, tookMs: 0 }
    const discarded = await initiator.discard(event, lun)
    this.restSoon(initiator)
    return discarded
  }

  async mark(key: InitiatorKey): Promise<void> {
    await this.initiators.get(keyOf(key))?.mark()
  }

  restoresAtBoot(key: InitiatorKey, isid: string): Promise<boolean> {
    return Promise.resolve(this.initiators.get(keyOf(key))?.restoresAtBoot(isid) ?? false)
  }

  async reconsider(): Promise<void> {
    for (const initiator of [...this.initiators.values()]) await initiator.reconsider()
  }

  show(key: InitiatorKey, names: boolean): Promise<readonly UnitDetail[]> {
    return this.initiators.get(keyOf(key))?.show(names) ?? Promise.resolve([])
  }

  /** Also of one that is remembered by the bin alone. */
  async *copy(key: InitiatorKey, what: CopyRequest): AsyncGenerator<CopyPart> {
    const initiator = this.initiators.get(keyOf(key)) ?? this.make(key)
    yield* initiator.copy(what)
  }

  async *rescue(key: InitiatorKey, what: RescueRequest): AsyncGenerator<CopyPart> {
    const initiator = this.initiators.get(keyOf(key)) ?? this.make(key)
    yield* initiator.rescue(what)
  }

  async undo(key: InitiatorKey, request: UndoRequest): Promise<Undone> {
    if (!this.initiators.has(keyOf(key)) && this.initiators.size >= this.maxInitiators) await this.makeRoom()
    const initiator = this.get(key)
    try {
      return await initiator.undo(request)
    } finally {
      this.restSoon(initiator)
    }
  }

  async publish(key: InitiatorKey, request: PublishRequest): Promise<Generation> {
    const initiator = this.get(key)
    try {
      return await initiator.publish(request)
    } finally {
      this.restSoon(initiator)
    }
  }

  async advance(key: InitiatorKey, imageUuid: string): Promise<boolean> {
    const initiator = this.initiators.get(keyOf(key))
    if (!initiator) return true
    const advanced = await initiator.advance(imageUuid)
    this.restSoon(initiator)
    return advanced
  }

  async enlarge(request: EnlargeRequest, signal?: AbortSignal): Promise<Stuck[]> {
    const stuck: Stuck[] = []
    for (const initiator of [...this.initiators.values()]) {
      if (signal?.aborted) break
      const { initiatorName } = initiator
      await initiator.enlarge(request).catch((error: unknown) => stuck.push({ initiatorName, why: messageOf(error) }))
      this.restSoon(initiator)
    }
    return stuck
  }

  list(): Promise<InitiatorView[]> {
    return Promise.resolve([...this.initiators.values()].map((initiator) => initiator.describe()))
  }

  async close(): Promise<void> {
    // The images are closed behind this, so everybody has to be done, also when somebody failed.
    const ends = await Promise.allSettled([...this.initiators.values()].map((initiator) => initiator.close()))
    this.initiators.clear()
    this.absent.clear()
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed) throw failed.reason
  }

  async idle(): Promise<void> {
    await Promise.all([...this.initiators.values()].map((initiator) => initiator.idle()))
  }

  private get(key: InitiatorKey): Initiator {
    const text = keyOf(key)
    let initiator = this.initiators.get(text)
    if (!initiator) {
      if (this.initiators.size >= this.maxInitiators) {
        throw new LoginError(LoginStatus.OutOfResources, `more than ${this.maxInitiators} initiators use this target`)
      }
      initiator = this.make(key)
      this.initiators.set(text, initiator)
    }
    return initiator
  }

  /** Whoever has lost a delta once has another identity since, and is remembered for that alone: not for ever. */
  private async makeRoom(): Promise<void> {
    const idle = [...this.initiators.values()].filter((initiator) => initiator.retirable && !initiator.busy)
    const oldest = idle.sort((left, right) => left.lastSeen - right.lastSeen).slice(0, FORGET_BATCH)
    if (oldest.length === 0) return
    await this.raiseFloor(Math.max(...oldest.map(({ incarnation }) => incarnation)))
    for (const initiator of oldest) {
      if (!(await initiator.retire()) || initiator.busy || initiator.sessionCount > 0) continue
      this.initiators.delete(initiator.key)
      this.absent.delete(initiator)
    }
  }

  private restSoon(initiator: Initiator): void {
    void initiator.idle().then(() => this.rest(initiator))
  }

  /** After a session: forgets an initiator that left nothing, and closes the delta of the one that is longest absent. */
  private async rest(initiator: Initiator): Promise<void> {
    if (initiator.sessionCount > 0 || initiator.busy) return
    if (initiator.disposable) {
      this.initiators.delete(initiator.key)
      return
    }
    if (!initiator.isOpen) return
    this.absent.add(initiator)
    const longest = this.absent.size > MAX_IDLE_OPEN ? this.absent.values().next().value : undefined
    if (!longest) return
    this.absent.delete(longest)
    await longest.suspend()
  }
}

export function keyOf({ targetName, initiatorName }: InitiatorKey): string {
  return `${targetName}\n${initiatorName}`
}
