import type { OwnAddress } from '../host/addresses.js'
import type { System } from '../host/system.js'
import type { BannerText, DoctorText } from '../text/text.js'

/** `unknown` is said plainly and is no fault; `command` is the one line that fixes it, or shows more. */
export interface Finding {
  readonly state: 'ok' | 'problem' | 'unknown'
  readonly message: string
  readonly command?: string
}

/** What the checks look at. */
export interface Situation {
  readonly system: System
  readonly text: DoctorText
  readonly places: BannerText
  readonly hosts: readonly string[]
  readonly port: number
  /** The address that others use first; undefined without a network. */
  readonly address: OwnAddress | undefined
  /** Where the deltas of the first target are, or will be; real and absolute. */
  readonly statePath: string
  /** Images and state directories, for whoever must leave them alone. */
  readonly paths: readonly string[]
  /** Listens on a host and connects to an address: `free`, or the code of what failed. */
  readonly probe: (host: string, port: number, address: string) => Promise<PortState>
}

export type PortState = 'free' | 'taken' | 'forbidden' | 'no-address' | 'unreachable'

/** One question about this PC: a file in checks/ and a line in its index. */
export interface Check {
  readonly name: keyof DoctorText['checks']
  examine(situation: Situation): Promise<Finding>
}

export function ok(message: string): Finding {
  return { state: 'ok', message }
}
export function problem(message: string, command: string): Finding {
  return { state: 'problem', message, command }
}
export function unknown(message: string, command: string): Finding {
  return { state: 'unknown', message, command }
}

/** The command of a platform; Linux has the last word where none is listed. */
export function commandFor(
  { system }: Situation,
  commands: { readonly win32: string; readonly darwin: string; readonly linux: string }
): string {
  return system.platform === 'win32' || system.platform === 'darwin' ? commands[system.platform] : commands.linux
}
