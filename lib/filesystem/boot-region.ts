import { checksum32 } from './checksum.js'
import { BOOT_SECTORS, type Geometry } from './geometry.js'

/** What a boot sector says beside the geometry. */
export interface BootFacts {
  readonly geometry: Geometry
  /** Byte offset of the volume on its disk. */
  readonly partitionOffset: number
  readonly rootCluster: number
  readonly serialNumber: number
  /** 0 to 100. */
  readonly percentInUse: number
}

// Main boot sector, §3.1; offsets in bytes.
const PARTITION_OFFSET_AT = 64
const VOLUME_LENGTH_AT = 72
const FAT_OFFSET_AT = 80
const FAT_LENGTH_AT = 84
const CLUSTER_HEAP_OFFSET_AT = 88
const CLUSTER_COUNT_AT = 92
const ROOT_CLUSTER_AT = 96
const SERIAL_NUMBER_AT = 100
const REVISION_AT = 104
const VOLUME_FLAGS_AT = 106
const SECTOR_SHIFT_AT = 108
const CLUSTER_SHIFT_AT = 109
const FAT_COUNT_AT = 110
const DRIVE_SELECT_AT = 111
const PERCENT_IN_USE_AT = 112
const BOOT_CODE_AT = 120
const SIGNATURE_AT = 510

const JUMP_BOOT = Buffer.from([0xeb, 0x76, 0x90])
const FILE_SYSTEM_NAME = 'EXFAT   '
const REVISION = 0x0100
const SIGNATURE = 0xaa55
/** §3.1.19: a processor that starts here by mistake halts. */
const HALT = 0xf4
const EXTENDED_SIGNATURE = 0xaa550000
/** Sectors 1 to 8, §3.2. Behind them one for OEM parameters and one reserved, both of zeroes, and the checksum. */
const EXTENDED_SECTORS = 8
const CHECKSUM_SECTOR = 11

/** The twelve sectors of the main boot region, §3; the backup has the same bytes. */
export function bootRegion(facts: BootFacts): Buffer {
  const { sectorBytes } = facts.geometry
  const region = Buffer.alloc(BOOT_SECTORS * sectorBytes)
  writeBootSector(region, facts)
  for (let sector = 1; sector <= EXTENDED_SECTORS; sector++) {
    region.writeUInt32LE(EXTENDED_SIGNATURE, (sector + 1) * sectorBytes - 4)
  }
  // §3.4: what a mount changes does not count.
  const skip = [VOLUME_FLAGS_AT, VOLUME_FLAGS_AT + 1, PERCENT_IN_USE_AT]
  const checksum = checksum32(region.subarray(0, CHECKSUM_SECTOR * sectorBytes), skip)
  for (let at = CHECKSUM_SECTOR * sectorBytes; at < region.length; at += 4) region.writeUInt32LE(checksum, at)
  return region
}

function writeBootSector(sector: Buffer, facts: BootFacts): void {
  const { geometry, partitionOffset, rootCluster, serialNumber, percentInUse } = facts
  const { sectorBytes } = geometry
  JUMP_BOOT.copy(sector)
  sector.write(FILE_SYSTEM_NAME, 3, 'latin1')
  sector.writeBigUInt64LE(BigInt(partitionOffset / sectorBytes), PARTITION_OFFSET_AT)
  sector.writeBigUInt64LE(BigInt(geometry.volumeBytes / sectorBytes), VOLUME_LENGTH_AT)
  sector.writeUInt32LE(geometry.fatOffset / sectorBytes, FAT_OFFSET_AT)
  sector.writeUInt32LE(geometry.fatBytes / sectorBytes, FAT_LENGTH_AT)
  sector.writeUInt32LE(geometry.heapOffset / sectorBytes, CLUSTER_HEAP_OFFSET_AT)
  sector.writeUInt32LE(geometry.clusterCount, CLUSTER_COUNT_AT)
  sector.writeUInt32LE(rootCluster, ROOT_CLUSTER_AT)
  sector.writeUInt32LE(serialNumber, SERIAL_NUMBER_AT)
  sector.writeUInt16LE(REVISION, REVISION_AT)
  sector[SECTOR_SHIFT_AT] = Math.log2(sectorBytes)
  sector[CLUSTER_SHIFT_AT] = Math.log2(geometry.clusterBytes / sectorBytes)
  sector[FAT_COUNT_AT] = 1
  sector[DRIVE_SELECT_AT] = 0x80
  sector[PERCENT_IN_USE_AT] = percentInUse
  sector.fill(HALT, BOOT_CODE_AT, SIGNATURE_AT)
  sector.writeUInt16LE(SIGNATURE, SIGNATURE_AT)
}
