import type { ProtocolLimits } from '../iscsi/limits.js'
import type { InitiatorRule, RestoreOn } from './policy.js'

/**
 * What a server is told, checked and with every default filled in. The command line and the configuration file end
 * here, and the public API takes it. Sizes in bytes, times in milliseconds.
 */
export interface ServerOptions {
  /** Where to listen; several are one portal group. */
  readonly portals: readonly PortalAddress[]
  /** What SendTargets names instead of the address that the client reached: `host` or `host:port`. */
  readonly advertise: string | undefined
  /** Root of all state; undefined = `<image>.cloudx` beside the first image of each target. */
  readonly stateDirectory: string | undefined
  /** MaxRecvDataSegmentLength that we declare. */
  readonly packetSizeBytes: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxSessions: number
  readonly limits: ProtocolLimits
  /** Shared read cache of base chunks: bytes, 0 = none, undefined = on for slow drivers only. */
  readonly cacheBytes: number | undefined
  /** Most that is read ahead at the start of what clients read first: bytes, 0 = nothing. */
  readonly warmUpBytes: number
  /** How long a delta waits for a client that fell silent, and for one whose connection ended with FIN. */
  readonly graceMs: number
  readonly graceClosedMs: number
  /** How long a dropped delta stays in the bin. */
  readonly undoMs: number
  /** New deltas are encrypted, each with a key that is destroyed when it is dropped; then nothing can be undone. */
  readonly shred: boolean
  /** For each initiator, all its units of one target together; undefined = no limit of its own. */
  readonly deltaLimitBytes: number | undefined
  /** For all initiators of the server together. */
  readonly deltaTotalBytes: number | undefined
  /** Chunk of new deltas: a power of two from 4 KiB to 1 MiB. */
  readonly chunkBytes: number
  /** How often what was written is flushed without being asked; 0 = never. */
  readonly flushIntervalMs: number
  /** Lets one initiator have sessions from several addresses at once. */
  readonly multipath: boolean
  /** Processes that the initiators are spread over; 1 = this one has all of them. */
  readonly workers: number
  readonly targets: readonly TargetOptions[]
}

export interface PortalAddress {
  readonly host: string
  readonly port: number
}

export interface TargetOptions {
  /** Normalised iSCSI name. */
  readonly name: string
  readonly alias: string | undefined
  readonly units: readonly UnitOptions[]
  readonly access: AccessOptions
  /** Normalised initiator names, or `local` for any initiator on this PC: their writes go into the image. */
  readonly authors: readonly string[]
  /** What becomes of the writes of an initiator; the first rule that fits counts. */
  readonly initiators: readonly InitiatorRule[]
  /** Drop the deltas over the image when an author logs in, instead of refusing the author. */
  readonly authorDiscards: boolean
}

export interface UnitOptions {
  readonly lun: number
  /** A file, a block device, or `scheme:…` of a driver. */
  readonly path: string
  /** Share this partition alone, as a disk of its own. */
  readonly partition: number | undefined
  readonly readOnly: boolean
  /** Each initiator has a disk here that is kept. */
  readonly personal: boolean
  /** When what an initiator wrote is restored, unless a rule says otherwise. */
  readonly restoreOn: RestoreOn
  /** One unit for all initiators, which writes into the image. */
  readonly shared: boolean
  /** The medium can be ejected. */
  readonly removable: boolean
  /** Without UNMAP (LBPME is 0). */
  readonly thick: boolean
  readonly allowSanitize: boolean
  /** Bytes a logical block: 512 or 4096. */
  readonly blockSize: number
  /** Size of a file that does not exist yet. */
  readonly createBytes: number
  /** Each write is on the medium before it is answered (mode page 08h: WCE is 0). */
  readonly writeThrough: boolean
  /** Such a file is made of zeroes; otherwise it is a drive with a file system. */
  readonly createBlank: boolean
}

export interface AccessOptions {
  /** Initiator names (with `*` as a wild card at the end) and CIDR ranges; empty = this PC and near addresses (access.ts). */
  readonly allow: readonly string[]
  /** undefined = no authentication. */
  readonly chap: ChapCredentials | undefined
  /** What the target proves to initiators that ask. */
  readonly mutual: ChapCredentials | undefined
}

export interface ChapCredentials {
  readonly user: string
  /** 12 to 255 bytes; never logged. */
  readonly secret: Buffer
}
