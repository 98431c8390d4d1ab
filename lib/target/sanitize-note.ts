import { dirname } from 'node:path'
import type { SanitizeNotes } from '../scsi/sanitize.js'
import { syncDirectory } from '../util/directory.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { readJson, removeFile, writeJson } from './json-file.js'
import { Fields } from './shape.js'

/**
 * A file that is there from before the first block of a sanitize operation changes until the operation has ended well:
 * whoever opens the unit and finds it must not show a disk that is wiped in part as if nothing had happened.
 */
export class SanitizeNote implements SanitizeNotes {
  /** @param epoch - of the delta that is being wiped; 0 where the image itself is */
  constructor(
    private readonly path: string,
    private readonly epoch: number
  ) {}

  /** What was under way, or had failed, when the server ended. */
  async interrupted(log: Logger): Promise<{ readonly mayExitFailure: boolean } | undefined> {
    try {
      const value = await readJson(this.path)
      if (value === undefined) return undefined
      const fields = new Fields(this.path, value)
      fields.version(VERSION)
      const found = { epoch: fields.count('epoch'), mayExitFailure: fields.boolean('mayExitFailure') }
      if (found.epoch === this.epoch) return found
      // It was of a delta that has been dropped since.
      await this.ended()
      return undefined
    } catch (error) {
      log.warn(`A sanitize operation counts as failed, for its note cannot be read: ${messageOf(error)}`)
      return { mayExitFailure: true }
    }
  }

  async begun(mayExitFailure: boolean): Promise<void> {
    await writeJson(this.path, { version: VERSION, epoch: this.epoch, mayExitFailure })
  }

  async ended(): Promise<void> {
    await removeFile(this.path)
    await syncDirectory(dirname(this.path))
  }
}

const VERSION = 1
