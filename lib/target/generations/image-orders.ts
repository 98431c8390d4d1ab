import type { CopyPart } from '../delta-copy.js'
import type { JobView } from '../jobs.js'
import type { Generation, TestRule } from './generation-record.js'

export type { JobView }

/** An image with its generations, for the operator. */
export interface ImageView {
  readonly path: string
  readonly uuid: string
  /** What its backups are known by; another one than `uuid` when one of them was restored in its place. */
  readonly backupUuid: string
  /** What new logins get. */
  readonly current: number
  /** What the raw file holds. */
  readonly raw: number
  readonly tests: readonly TestRule[]
  /** The generation up to which layers are being merged into the raw file. */
  readonly flattening: number | undefined
  /** Why nobody may log in. */
  readonly trouble: string | undefined
  readonly generations: readonly GenerationView[]
  /** What authors wrote and nobody has published. */
  readonly drafts: readonly DraftView[]
  /** The push that is planned or under way, else the last one since the start of the server. */
  readonly push: PushView | undefined
}

/** Sessions on older generations are asked to log in again. */
export interface PushView {
  /** missed: the server did not run at its time, and nobody was asked. */
  readonly state: 'planned' | 'running' | 'done' | 'failed' | 'missed'
  /** When it begins, or began; wall clock, ms since 1970. */
  readonly at: number
  /** Also clients that wrote something, which is dropped. */
  readonly dropDeltas: boolean
  /** Clients that were asked, of so many. */
  readonly done: number
  readonly total: number
  /** Of them, those that see the newest generation now. */
  readonly moved: number
  /** Who stays on which generation. */
  readonly stayed: readonly PushStay[]
  /** A sentence: how it ended, or why not. */
  readonly message: string
}

export interface PushStay {
  readonly initiatorName: string
  readonly targetName: string
  readonly generation: number
  /** Bytes that it wrote over it. */
  readonly bytes: number
  /** wrote: they would be lost. kept: its policy keeps them. there: it came back before it could be moved. */
  readonly reason: 'wrote' | 'kept' | 'there'
}

export interface GenerationView extends Omit<Generation, 'source'> {
  /** It can be shown; otherwise it was merged into the raw file, or given up. */
  readonly available: boolean
  /** Initiators whose disk it is: with a session, or with something that is kept for them. */
  readonly users: readonly GenerationUser[]
}

export interface GenerationUser {
  readonly initiatorName: string
  readonly targetName: string
  /** session: logged in. kept: its delta or its view waits for it. bin: a dropped delta that can be had back. */
  readonly kind: 'session' | 'kept' | 'bin'
  /** Bytes that it wrote over the generation. */
  readonly bytes: number
}

/** A delta that can become a generation. */
export interface DraftView {
  readonly initiatorName: string
  readonly targetName: string
  readonly generation: number | undefined
  readonly bytes: number
  /** Its author is logged in. */
  readonly live: boolean
}

/** Which image an order is for; needed when the server has several. */
export interface ImageOrder {
  /** Its path or its UUID. */
  readonly image?: string | undefined
}

export interface PublishOrder extends ImageOrder {
  /** Whose delta; needed when several authors have one. */
  readonly author?: string | undefined
  /** Publish an older generation, or one that was only tested, again. */
  readonly generation?: number | undefined
  readonly note?: string | undefined
  /** Names or patterns of initiators that get it first; nobody else does. */
  readonly test?: readonly string[] | undefined
  /** Also when the author's session is live or did not end cleanly, or when it lies beside the current generation. */
  readonly force?: boolean | undefined
}

export interface PushOrder extends ImageOrder {
  /** When; wall clock, ms since 1970. undefined = now. */
  readonly at?: number | undefined
  /** Drop what clients wrote over older generations, so that they can be moved as well. */
  readonly dropDeltas?: boolean | undefined
}

export interface RollbackOrder extends ImageOrder {
  /** The generation that new logins get; undefined = the one that the current one lies over. */
  readonly to?: number | undefined
}

export interface TestOrder extends ImageOrder {
  /** Names or patterns; empty with no generation = all rules. */
  readonly initiators: readonly string[]
  /** undefined = the current one again. */
  readonly generation?: number | undefined
}

export interface FlattenOrder extends ImageOrder {
  /** What the raw file is to hold; undefined = the newest generation that nobody needs anything below of. */
  readonly to?: number | undefined
}

export interface VerifyOrder extends ImageOrder {
  /** undefined = the current one. */
  readonly generation?: number | undefined
}

export interface GrowOrder extends ImageOrder {
  readonly sizeBytes: number
}

export interface ImageExportOrder extends ImageOrder {
  /** undefined = the current one. */
  readonly generation?: number | undefined
  /** Where to begin, in whole MiB. */
  readonly fromBytes?: number | undefined
  /** Only MiB that may differ from this generation, which it lies over; each of them whole, also when it is zero. */
  readonly since?: number | undefined
}

/** What an operator can see and order of images and their generations. */
export interface ImageOrders {
  images(): Promise<readonly ImageView[]>
  publish(order: PublishOrder): Promise<ImageView>
  /** Begins to ask clients on older generations to log in again, or plans it; {@link ImageView.push} tells how far it is. */
  push(order: PushOrder): Promise<ImageView>
  /** Takes back what was planned. */
  cancelPush(order: ImageOrder): Promise<ImageView>
  rollback(order: RollbackOrder): Promise<ImageView>
  test(order: TestOrder): Promise<ImageView>
  /** Begins to merge generations into the raw file; the job tells how far it is. */
  flatten(order: FlattenOrder): Promise<JobView>
  /** Holds a generation against its hash tree, or notes one; the job tells what was found. */
  verify(order: VerifyOrder): Promise<JobView>
  /** Makes the disk larger, for those who see the current generation and those who log in from then on. */
  grow(order: GrowOrder): Promise<ImageView>
  /** A generation as a whole, part by part. */
  exportImage(order: ImageExportOrder): AsyncGenerator<CopyPart>
  /** What was begun by order, and how far it is. */
  jobs(): Promise<readonly JobView[]>
}
