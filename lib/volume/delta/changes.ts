import { BASE, type DeltaMap } from './delta-map.js'

/** A stretch of a disk in which something is not as in the base. */
export interface ChangedArea {
  readonly offset: number
  readonly lengthBytes: number
  /** Bytes of it that are changed; the rest lies between changes that are near each other. */
  readonly changedBytes: number
}

/** What of a disk a delta has changed, in bytes. All of it is as of the moment of the call. */
export class Changes {
  constructor(
    private readonly map: DeltaMap,
    private readonly chunkSize: number,
    /** Bytes of the disk. */
    readonly size: number
  ) {}

  /** Memory that finds what was changed: little for what lies together, up to as much again for what is scattered. */
  get mapBytes(): number {
    return this.map.memoryBytes
  }

  /** How many bytes of a range lie in changed chunks, written or zeroed. */
  bytesIn(offset: number, lengthBytes: number): number {
    let changed = 0
    const end = Math.min(offset + lengthBytes, this.size)
    this.eachRun(offset, end, (from, to) => (changed += to - from))
    return changed
  }

  /**
   * The changed areas in the order of the disk, at most so many: the smallest gaps are passed over until they fit.
   * @param countMax - at least 1
   */
  areas(countMax: number): ChangedArea[] {
    const areas: Growing[] = []
    let gapBytes = this.chunkSize
    this.eachRun(0, this.size, (from, to) => {
      const last = areas[areas.length - 1]
      if (last && from - last.end < gapBytes) extend(last, to, to - from)
      else areas.push({ offset: from, end: to, changedBytes: to - from })
      while (areas.length > countMax) {
        gapBytes *= 2
        merge(areas, gapBytes)
      }
    })
    return areas.map(({ offset, end, changedBytes }) => ({ offset, lengthBytes: end - offset, changedBytes }))
  }

  private eachRun(offset: number, end: number, visit: (from: number, to: number) => void): void {
    const { map, chunkSize } = this
    let chunk = Math.floor(offset / chunkSize)
    while (chunk * chunkSize < end) {
      const count = map.run(chunk, Math.ceil(end / chunkSize) - chunk)
      if (map.entry !== BASE) visit(Math.max(offset, chunk * chunkSize), Math.min(end, (chunk + count) * chunkSize))
      chunk += count
    }
  }
}

interface Growing {
  readonly offset: number
  end: number
  changedBytes: number
}

function extend(area: Growing, end: number, changedBytes: number): void {
  area.end = end
  area.changedBytes += changedBytes
}

/** In place: areas that are less than a gap apart become one. */
function merge(areas: Growing[], gapBytes: number): void {
  let kept = 0
  for (let next = 1; next < areas.length; next++) {
    const last = areas[kept]!
    const area = areas[next]!
    if (area.offset - last.end < gapBytes) extend(last, area.end, area.changedBytes)
    else areas[++kept] = area
  }
  areas.length = kept + 1
}
