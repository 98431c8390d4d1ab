import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { LayerVolume, type Origin } from '../../volume/layers/layer.js'
import { flushVolume, readVolume, writeVolume, zeroVolume } from '../../volume/promises.js'
import type { Volume } from '../../volume/volume.js'
import { TargetError } from '../errors.js'
import type { JobProgress } from '../jobs.js'

/** Bytes of one step: what a crash has to do again, and how long a reader may wait behind it. */
export const STEP_BYTES = 1 << 20
/** It works at most half of the time, so that clients of the same disk have the other half. */
const REST_SHARE = 1

/**
 * Copies what layers hold into the raw file below them.
 *
 * While this runs the layers stay over the raw file, and each byte that is written here is one that they cover: nobody
 * reads it from below. So the raw file and its layers show the same disk before, during and after, whatever part of
 * the copy is on the medium and however often it is done again. Only when all of it is there, and synced, do the
 * layers go.
 *
 * @param top - shows the generation that the raw file is to hold
 * @param raw - the raw file, open for writing, as large as `top`
 */
export async function copyLayers(top: Volume, raw: Volume, progress: JobProgress): Promise<number> {
  const total = coveredBytes(top)
  let done = 0
  const buffer = Buffer.allocUnsafeSlow(STEP_BYTES)
  for (let offset = 0; offset < top.size;) {
    const { length, covered, mapped } = originAt(top, offset, STEP_BYTES)
    if (covered) {
      if (progress.signal.aborted) throw stopped()
      const began = performance.now()
      if (mapped) await copy(top, raw, buffer.subarray(0, length), offset)
      else await zeroVolume(raw, offset, length, true)
      done += length
      progress.report(done, total)
      await pause((performance.now() - began) * REST_SHARE)
    } else if (offset % TURN_BYTES < length) await nextTurn()
    offset += length
  }
  await flushVolume(raw)
  return done
}

async function copy(from: Volume, to: Volume, buffer: Buffer, offset: number): Promise<void> {
  await readVolume(from, buffer, offset)
  await writeVolume(to, buffer, offset)
}

/** Bytes that the layers say something about. */
export function coveredBytes(top: Volume): number {
  let bytes = 0
  for (let offset = 0; offset < top.size;) {
    const { length, covered } = originAt(top, offset, top.size)
    if (covered) bytes += length
    offset += length
  }
  return bytes
}

function originAt(volume: Volume, offset: number, limit: number): Origin {
  const length = Math.min(limit, volume.size - offset)
  return volume instanceof LayerVolume ? volume.originAt(offset, length) : { length, covered: false, mapped: true }
}

/** Of what is not copied so much is passed over in one turn. */
const TURN_BYTES = 1 << 30

function stopped(): TargetError {
  return new TargetError('ERR_ISCSI_STOPPED', 'the server was stopped; it goes on at the next start')
}
