import { CopyResults } from './copy-results.js'
import type { LogicalUnit } from './logical-unit.js'
import type { SenseCondition } from './sense.js'

/** Unit attentions that one nexus can have waiting at one unit; beyond it the oldest are kept and news are dropped. */
const MAX_UNIT_ATTENTIONS = 16

/** What one I_T nexus holds of one unit. */
export class NexusUnit {
  /** A nexus that may hold a cache of a delta that is gone: no medium access until it has looked at the unit again. */
  fenced = false
  private readonly attentions: SenseCondition[] = []

  constructor(
    readonly unit: LogicalUnit,
    readonly nexus: Nexus
  ) {}

  /** Establishes a unit attention condition (SAM-5 §5.14); one that is pending already is not doubled. */
  establish(attention: SenseCondition): void {
    if (this.attentions.includes(attention) || this.attentions.length === MAX_UNIT_ATTENTIONS) return
    this.attentions.push(attention)
  }

  get attention(): SenseCondition | undefined {
    return this.attentions[0]
  }

  /** Takes the oldest unit attention, because it is being reported. */
  takeAttention(): SenseCondition | undefined {
    return this.attentions.shift()
  }

  /** Forgets one unit attention, because the client has just been told by other means. */
  dropAttention(attention: SenseCondition): void {
    const index = this.attentions.indexOf(attention)
    if (index >= 0) this.attentions.splice(index, 1)
  }

  clearAttentions(): void {
    this.attentions.length = 0
  }
}

export interface NexusOptions {
  readonly initiatorName: string
  /** 6 bytes in hex. */
  readonly isid: string
  readonly targetName: string
  readonly targetPortalGroupTag: number
  readonly units: readonly LogicalUnit[]
  /** The client has looked at a unit again (INQUIRY, or READ CAPACITY where `otherIsid`): may the fence fall? */
  readonly onLook?: (unit: NexusUnit, command: 'inquiry' | 'read-capacity') => void
}

/**
 * An I_T nexus (SAM-5 §4.8): initiator port (name + ISID) ↔ target port. Its units are its initiator's. It is attached
 * to them, so that unit attentions of others reach it, from its making until {@link end}.
 */
export class Nexus {
  readonly initiatorName: string
  readonly isid: string
  readonly targetName: string
  readonly targetPortalGroupTag: number
  /** The names of both ports: equal for two sessions, one after the other, that are the same nexus. */
  readonly id: string
  /** LUN → what this nexus holds of it, in ascending order. */
  readonly units: Map<number, NexusUnit>
  /** Copies that were asked for on this nexus. */
  readonly copies = new CopyResults()
  private readonly onLook: NexusOptions['onLook']

  constructor(options: NexusOptions) {
    this.initiatorName = options.initiatorName
    this.isid = options.isid
    this.targetName = options.targetName
    this.targetPortalGroupTag = options.targetPortalGroupTag
    this.id = `${this.initiatorPort} ${this.targetPort}`
    this.onLook = options.onLook
    const ascending = [...options.units].sort((left, right) => left.lun - right.lun)
    this.units = new Map(ascending.map((unit) => [unit.lun, new NexusUnit(unit, this)]))
    for (const entry of this.units.values()) entry.unit.attach(entry)
  }

  /** SCSI initiator port name, RFC 7143 §4.4.1: name, separator, ISID. */
  get initiatorPort(): string {
    return `${this.initiatorName},i,0x${this.isid}`
  }

  /** SCSI target port name, RFC 7143 §4.4.1: name, separator, portal group tag in four hex digits. */
  get targetPort(): string {
    return `${this.targetName},t,0x${this.targetPortalGroupTag.toString(16).padStart(4, '0')}`
  }

  looked(unit: NexusUnit, command: 'inquiry' | 'read-capacity'): void {
    if (unit.fenced) this.onLook?.(unit, command)
  }

  /**
   * The session is over, by logout or by loss (SAM-5 §6.3.4): SPC-2 reservations fall,
   * persistent registrations stay. Its tasks are the transport's to end, before this. Harmless when called twice.
   */
  end(): void {
    for (const entry of this.units.values()) entry.unit.detach(entry)
  }

  /**
   * Makes the synchronous writes of this turn findable; an error means that they have been undone. Called once
   * before the responses of a turn are sent.
   */
  commit(): Error | undefined {
    let failure: Error | undefined
    for (const { unit } of this.units.values()) {
      if (!unit.volume.uncommitted) continue
      try {
        unit.volume.commit()
      } catch (error) {
        failure = error as Error
        unit.commitFailed(failure)
      }
    }
    return failure
  }
}
