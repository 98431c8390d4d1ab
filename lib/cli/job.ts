import { setTimeout as pause } from 'node:timers/promises'
import type { AdminClient } from '../admin/client.js'
import type { JobView } from '../target/control.js'
import { IscsiError } from '../util/errors.js'
import { tell, type CliContext } from './command.js'
import type { ParsedArguments } from './options.js'
import { Progress } from './progress.js'

/** How often the server is asked how far it is. */
const ASK_MS = 200

/**
 * Waits for work that a server does in the background, with a bar. Whoever interrupts this interrupts the waiting alone.
 * @returns the job as it ended well
 * @throws IscsiError with the reason when it failed
 */
export async function waitForJob(client: AdminClient, begun: JobView, { stderr }: CliContext): Promise<JobView> {
  const progress = new Progress(stderr)
  try {
    for (;;) {
      const { jobs } = await client.jobs()
      const job = jobs.find(({ id }) => id === begun.id)
      if (!job) throw new IscsiError('ERR_ADMIN_JOB', 'the server was started anew meanwhile; ask for it again')
      if (job.totalBytes > 0) progress.update(job.doneBytes, job.totalBytes)
      if (job.state === 'failed') throw new IscsiError(job.code ?? 'ERR_ADMIN_JOB', job.message)
      if (job.state === 'done') return job
      await pause(ASK_MS)
    }
  } finally {
    progress.end()
  }
}

/** Waits for it and tells how it ended. */
export async function tellJob(
  client: AdminClient,
  begun: JobView,
  args: ParsedArguments,
  context: CliContext
): Promise<void> {
  const job = await waitForJob(client, begun, context)
  tell(args, context, job, ({ image, message }) => [`${image}: ${message}.`])
}
