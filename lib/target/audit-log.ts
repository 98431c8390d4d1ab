import { open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { undefinedIfMissing } from '../volume/delta/files.js'
import { Serial } from './serial.js'

/** One file grows to this; then it becomes `audit-1.log`, `audit-2.log` …, and the oldest goes. */
export const AUDIT_FILE_BYTES_MAX = 4 * 2 ** 20
export const AUDIT_FILE_COUNT_MAX = 8
/** What somebody says of himself, or a path, takes no more of a line. */
const TEXT_LENGTH_MAX = 4096
const FILE_MODE = 0o600

/** What somebody did with what a client wrote. */
export interface AuditEntry {
  readonly action: 'names' | 'rescue' | 'export' | 'drop' | 'undo' | 'policy'
  readonly targetName: string
  readonly initiatorName: string
  /** Who gave the order, as the command told it; undefined when it told nothing. */
  readonly by: string | undefined
  /** More about it: LUN, path, rule. */
  readonly details: Readonly<Record<string, string | number | boolean | undefined>>
}

/** Where it is noted. */
export interface Audit {
  /** Of the file. */
  readonly path: string
  /** Throws what keeps it from being noted; then it must not be done. */
  note(entry: AuditEntry): Promise<void>
}

/**
 * Who has looked at, or taken away, what a client wrote: a line of JSON each in `audit.log` of the state directory, for
 * the user of the server alone. A line is on the medium before what it tells of is done, and what cannot be noted is
 * not done.
 */
export class AuditLog implements Audit {
  private readonly steps = new Serial()

  /**
   * @param now - wall clock, ms since 1970
   * @param limits - for specs
   */
  constructor(
    private readonly directory: string,
    private readonly now: () => number,
    private readonly limits = { bytes: AUDIT_FILE_BYTES_MAX, count: AUDIT_FILE_COUNT_MAX }
  ) {}

  get path(): string {
    return join(this.directory, 'audit.log')
  }

  /** Throws what the file system gives. */
  note({ action, targetName, initiatorName, by, details }: AuditEntry): Promise<void> {
    const line = { time: new Date(this.now()).toISOString(), action, initiatorName, targetName, by, ...details }
    const text = JSON.stringify(line, (_key, value: unknown) =>
      typeof value === 'string' && value.length > TEXT_LENGTH_MAX ? `${value.slice(0, TEXT_LENGTH_MAX)}…` : value
    )
    return this.steps.run(() => this.append(Buffer.from(`${text}\n`)))
  }

  private async append(line: Buffer): Promise<void> {
    const size = (await stat(this.path).catch(undefinedIfMissing))?.size ?? 0
    if (size > 0 && size + line.length > this.limits.bytes) await this.rotate()
    const file = await open(this.path, 'a', FILE_MODE)
    try {
      await file.write(line)
      await file.datasync()
    } finally {
      await file.close()
    }
  }

  private async rotate(): Promise<void> {
    for (let number = this.limits.count - 1; number > 1; number--) {
      await rename(this.pathOf(number - 1), this.pathOf(number)).catch(undefinedIfMissing)
    }
    await rename(this.path, this.pathOf(1))
  }

  private pathOf(number: number): string {
    return join(this.directory, `audit-${number}.log`)
  }
}
