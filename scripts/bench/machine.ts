import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { haltPollNs } from './virtual-machine.js'

/** Where something was measured: without it a number says nothing. */
export interface Machine {
  readonly cpu: string
  readonly cpus: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  readonly tgtd: string
  readonly fileSystem: string
  /** How long a virtual processor polls before it stops, nanoseconds. */
  readonly haltPollNs?: number
}

export function describeMachine(folder: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    tgtd: /[\d.]+/.exec(execFileSync('tgtd', ['-V'], { encoding: 'utf8' }))?.[0] ?? 'unknown',
    fileSystem: FILE_SYSTEMS[statfsSync(folder).type] ?? `0x${statfsSync(folder).type.toString(16)}`,
    haltPollNs: haltPollNs()
  }
}

/** Magic numbers of statfs(2). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'XFS',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs'
}
