import { formatSize } from '../../util/units.js'
import { TargetError } from '../errors.js'
import { afterEnd } from '../epoch-ends.js'
import type { InitiatorContext, UnitSource } from '../initiator-context.js'
import type { InitiatorRecord, UnitRecord } from '../initiator-record.js'
import type { InitiatorState } from '../initiator-state.js'
import type { Units } from '../units.js'
import type { Generation } from './generation-record.js'

export interface PublishRequest {
  /** The image that the generation is for. */
  readonly imageUuid: string
  readonly note: string
  /** Initiator names or patterns that get it; empty = everybody. */
  readonly testers: readonly string[]
  /** Also when the file system may not be clean, or when it does not lie over the current generation. */
  readonly force: boolean
}

/** Makes what an initiator wrote the next generation of an image. */
export class DeltaPublisher {
  private readonly context: InitiatorContext
  private readonly record: InitiatorRecord

  constructor(
    private readonly state: InitiatorState,
    private readonly units: Units
  ) {
    this.context = state.context
    this.record = state.record
  }

  /** Throws TargetError ERR_ISCSI_PUBLISH_… with the reason when it may not be done; nothing has changed then. */
  async publish(request: PublishRequest): Promise<Generation> {
    const { source, unit } = this.find(request)
    this.judge(source, unit, request)
    const { generations, path } = source.image
    await this.units.open('private')
    // It may turn out only now that the delta cannot be read.
    if (!this.state.storedNow(unit)) throw this.nothing(path)
    const delta = this.state.deltaOf(unit)
    // A server that died left its session without an end; it gets one when the delta is closed, behind a flush.
    await delta?.wake(unit.incarnation)
    await delta?.settleCopies()
    await this.state.closeUnits()
    const files = await this.state.storedFiles(unit)
    if (!files) throw this.nothing(path)
    const { epochMax: epoch } = await this.state.listFiles(unit.lun)
    const generation = await generations.publish({
      files,
      source: { ...this.state.names, lun: unit.lun, epoch },
      note: request.note,
      testers: request.testers,
      beside: request.force
    })
    this.state.wake(unit)
    Object.assign(unit, afterEnd(epoch), this.record.letGo ? {} : { generation: generation.number })
    // The generation is there whatever happens to the note: the next start finds it out by itself.
    await this.state
      .save()
      .then(() => generations.noted(generation.number))
      .catch((error: unknown) => this.state.report(error))
    this.context.log.info(
      `${path}: generation ${generation.number} is what ${this.state.initiatorName} wrote ` +
        `(${formatSize(generation.layerBytes ?? 0)}); ${whoGets(request.testers)}`
    )
    return generation
  }

  private find({ imageUuid }: PublishRequest): { source: UnitSource; unit: UnitRecord } {
    const source = this.context.sources.find(({ image, shared }) => image.uuid === imageUuid && !shared)
    const unit = source && this.record.units.find(({ lun }) => lun === source.lun)
    if (source && unit && this.state.storedNow(unit)) return { source, unit }
    throw this.nothing(source?.image.path ?? 'this image')
  }

  private nothing(path: string): TargetError {
    return new TargetError('ERR_ISCSI_PUBLISH_NOTHING', `${this.state.initiatorName} has written nothing over ${path}`)
  }

  private judge({ image, partition }: UnitSource, unit: UnitRecord, { force }: PublishRequest): void {
    const { initiatorName, targetName, nexuses } = this.state
    if (nexuses.size > 0) {
      throw new TargetError(
        'ERR_ISCSI_PUBLISH_SESSION',
        `${initiatorName} is logged in to ${targetName}: its file system is not clean while it is mounted; log it out ` +
          'there first, or end its session and publish what is on the disk now with --force'
      )
    }
    if (this.context.policyOf(initiatorName, unit.lun) !== 'author' || (partition !== undefined && !unit.whole)) {
      throw new TargetError(
        'ERR_ISCSI_PUBLISH_POLICY',
        `${initiatorName} is no author at ${targetName}: start the server with --policy ${initiatorName}=author`
      )
    }
    if (this.context.state.path !== image.statePath) {
      throw new TargetError(
        'ERR_ISCSI_PUBLISH_STATE',
        `${image.path} keeps its generations in ${image.statePath}, and ${targetName} its deltas elsewhere: publish ` +
          'from a target that has its state there too'
      )
    }
    if (force || this.record.letGo) return
    throw new TargetError(
      'ERR_ISCSI_PUBLISH_UNCLEAN',
      `the last session of ${initiatorName} did not end by a logout (${this.record.end ?? 'the server ended first'}), so ` +
        'its file system may not be clean: let it log in and out again, or add --force'
    )
  }
}

function whoGets(testers: readonly string[]): string {
  return testers.length === 0 ? 'new logins get it' : `${testers.join(', ')} get it at the next login`
}
