import { createHash } from 'node:crypto'
import type { UnitIdentity } from '../scsi/logical-unit.js'

/**
 * How a unit names itself (VPD 80h, 83h). Windows keeps drive letters by it and MPIO merges disks by it, so it is stable
 * over sessions, restarts and hosts, different for every client, and changes only when a delta was lost: then the
 * client must not take the disk for the one that it has in its cache.
 *
 * NAA 6h, not 3h: 16 bytes are what ESXi, Windows and multipath expect of a disk with an identity (`naa.6…`), and they
 * leave 100 bits for the hash where 3h leaves 60. NAA 6h holds an IEEE company identifier and we own none. The one used
 * lies in the quadrant that IEEE 802c gives to local administrators (first octet xxxx0010), so it can never be the
 * identifier of a company.
 */
const COMPANY_ID = [0x02, 0x43, 0x78] as const

const VENDOR = 'CLOUD-X'
const PRIVATE_PRODUCT = 'PRIVATE DISK'
const SHARED_PRODUCT = 'SHARED DISK'
const REVISION = '0001'

export interface IdentitySource {
  /** UUID of the image (RFC 9562 text form). */
  readonly imageUuid: string
  /** The partition that is shared as a disk of its own, or undefined for the whole image. */
  readonly partition: number | undefined
  readonly targetName: string
  /** Undefined for a unit that all initiators share. */
  readonly initiatorName: string | undefined
  readonly lun: number
  /** Times that a delta of this unit was lost. */
  readonly incarnation: number
}

/** The identity is a pure function of its source: two units share one only if all of the source is equal. */
export function unitIdentity(source: IdentitySource): UnitIdentity {
  const digest = digestOf(source)
  const naa = naaDesignator(digest)
  return {
    vendor: VENDOR,
    product: source.initiatorName === undefined ? SHARED_PRODUCT : PRIVATE_PRODUCT,
    revision: REVISION,
    // 96 bits in 24 digits: some tools cut a serial number at 32 characters.
    serial: digest.toString('hex', 16, 28),
    naa,
    scsiName: `naa.${naa.toString('hex')}`
  }
}

/** Each field with its length before it, so that no two sources can run together into the same bytes. */
function digestOf({ imageUuid, partition, targetName, initiatorName, lun, incarnation }: IdentitySource): Buffer {
  const hash = createHash('sha256')
  const fields = ['cloudx unit', imageUuid, String(partition ?? 0), targetName, initiatorName ?? '', String(lun)]
  for (const field of [...fields, String(incarnation)]) {
    const bytes = Buffer.from(field, 'utf8')
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
  return hash.digest()
}

/** SPC-4 §7.8.6.6.6: 4 bits 6h, 24 bits company identifier, 36 + 64 bits of the vendor's own. */
function naaDesignator(digest: Buffer): Buffer {
  const naa = Buffer.from(digest.subarray(0, 16))
  const [first, second, third] = COMPANY_ID
  naa[0] = 0x60 | (first >> 4)
  naa[1] = ((first & 0x0f) << 4) | (second >> 4)
  naa[2] = ((second & 0x0f) << 4) | (third >> 4)
  naa[3] = ((third & 0x0f) << 4) | (naa[3]! & 0x0f)
  return naa
}
