export class SwallowedOptions extends Error {}

export interface KnownOption {
  readonly name: string
  /** Takes no value. */
  readonly isSwitch: boolean
}

export function readBack(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  options: readonly KnownOption[]
): string[]
