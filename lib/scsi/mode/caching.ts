import { bytes, defineLayout, u16, u8 } from '../../layout/layout.js'
import type { ModePage } from './page.js'

/** SBC-3 §6.5.5. */
const layout = defineLayout(20, {
  code: u8,
  length: u8,
  flags: u8,
  retentionPriority: u8,
  disablePrefetchTransferLength: u16,
  minPrefetch: u16,
  maxPrefetch: u16,
  maxPrefetchCeiling: u16,
  moreFlags: u8,
  cacheSegments: u8,
  cacheSegmentSize: u16,
  reserved: u8,
  obsolete: bytes(3)
})

/** Write-back cache: a write is durable only after SYNCHRONIZE CACHE, or with FUA. */
const FLAG_WCE = 0x04

export const caching: ModePage = {
  code: 0x08,
  subpage: 0x00,
  changeable: ({ defaultModes }) => layout.make({ flags: defaultModes.writeCacheEnabled ? FLAG_WCE : 0 }),
  build: (_unit, modes) => layout.make({ code: 0x08, length: 0x12, flags: modes.writeCacheEnabled ? FLAG_WCE : 0 }),
  apply(page, modes) {
    modes.writeCacheEnabled = (page[layout.offsets.flags]! & FLAG_WCE) !== 0
  }
}
