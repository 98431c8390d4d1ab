import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type {
  CopyPart,
  DropOrder,
  ExportOrder,
  FlattenOrder,
  GrowOrder,
  ImageExportOrder,
  ImageOrder,
  PolicyOrder,
  PublishOrder,
  PushOrder,
  RescueOrder,
  RollbackOrder,
  ShowOrder,
  TestOrder,
  UndoOrder,
  VerifyOrder
} from '../target/control.js'
import { codeOf } from '../util/errors.js'
import { COPY_STREAM_TYPE, decodeParts } from './copy-stream.js'
import { withEndpoint } from './endpoint.js'
import { AdminError } from './errors.js'
import { ANSWER_BYTES_MAX, ANSWER_TIME_MS } from './limits.js'
import type { DeltasAnswer, DropAnswer, ShowAnswer, UndoAnswer } from './routes/deltas.js'
import type { ImageAnswer, ImagesAnswer, JobAnswer, JobsAnswer } from './routes/images.js'
import type { PoliciesAnswer } from './routes/policies.js'
import type { SessionsAnswer } from './routes/sessions.js'
import type { StatusAnswer } from './routes/status.js'

export type {
  CopyPart,
  DeltasAnswer,
  DropAnswer,
  ImageAnswer,
  ImagesAnswer,
  JobAnswer,
  JobsAnswer,
  PoliciesAnswer,
  SessionsAnswer,
  ShowAnswer,
  StatusAnswer,
  UndoAnswer
}
export { AdminError } from './errors.js'

/**
 * Speaks with the server that uses a state directory. Every method throws AdminError: `ERR_ADMIN_NO_SERVER` when none
 * runs, or the code and the sentence of the server's answer.
 */
export class AdminClient {
  /** @param stateDirectory - an absolute path */
  constructor(readonly stateDirectory: string) {}

  status(): Promise<StatusAnswer> {
    return this.ask('GET', '/v1/status')
  }

  sessions(): Promise<SessionsAnswer> {
    return this.ask('GET', '/v1/sessions')
  }

  deltas(): Promise<DeltasAnswer> {
    return this.ask('GET', '/v1/deltas')
  }

  undo(order: UndoOrder): Promise<UndoAnswer> {
    return this.ask('POST', '/v1/deltas/undo', order)
  }

  images(): Promise<ImagesAnswer> {
    return this.ask('GET', '/v1/images')
  }

  publish(order: PublishOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/publish', order)
  }

  push(order: PushOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/push', order)
  }

  cancelPush(order: ImageOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/push/cancel', order)
  }

  rollback(order: RollbackOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/rollback', order)
  }

  test(order: TestOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/test', order)
  }

  flatten(order: FlattenOrder): Promise<JobAnswer> {
    return this.ask('POST', '/v1/images/flatten', order)
  }

  verify(order: VerifyOrder): Promise<JobAnswer> {
    return this.ask('POST', '/v1/images/verify', order)
  }

  grow(order: GrowOrder): Promise<ImageAnswer> {
    return this.ask('POST', '/v1/images/grow', order)
  }

  /** A generation as a whole, part by part. */
  exportImage(order: ImageExportOrder): AsyncGenerator<CopyPart> {
    return this.copy('/v1/images/export', order)
  }

  jobs(): Promise<JobsAnswer> {
    return this.ask('GET', '/v1/jobs')
  }

  show(order: ShowOrder): Promise<ShowAnswer> {
    return this.ask('POST', '/v1/deltas/show', order)
  }

  drop(order: DropOrder): Promise<DropAnswer> {
    return this.ask('POST', '/v1/deltas/drop', order)
  }

  policies(): Promise<PoliciesAnswer> {
    return this.ask('GET', '/v1/policies')
  }

  setPolicy(order: PolicyOrder): Promise<PoliciesAnswer> {
    return this.ask('POST', '/v1/policies', order)
  }

  /** A disk as its client sees it, or saw it last, part by part. */
  exportDelta(order: ExportOrder): AsyncGenerator<CopyPart> {
    return this.copy('/v1/deltas/export', order)
  }

  /** A file of it, in the same form. */
  rescue(order: RescueOrder): AsyncGenerator<CopyPart> {
    return this.copy('/v1/deltas/rescue', order)
  }

  /** @throws AdminError also when the answer breaks off, so that half of a copy is never taken for all of it */
  private async *copy(path: string, order: unknown): AsyncGenerator<CopyPart> {
    const opened = await this.reach((socketPath) => beginExchange(socketPath, 'POST', path, order))
    try {
      if (opened.headers['content-type'] !== COPY_STREAM_TYPE) judge(opened.statusCode ?? 0, await readAll(opened))
      yield* decodeParts(opened as AsyncIterable<Buffer>)
    } catch (error) {
      throw error instanceof AdminError ? error : unreached(error, this.stateDirectory)
    } finally {
      opened.destroy()
    }
  }

  private async reach<T>(use: (socketPath: string) => Promise<T>): Promise<T> {
    try {
      return await withEndpoint(this.stateDirectory, use)
    } catch (error) {
      throw error instanceof AdminError ? error : unreached(error, this.stateDirectory)
    }
  }

  private ask<T>(method: string, path: string, order?: unknown): Promise<T> {
    return this.reach(async (socketPath) => {
      const response = await beginExchange(socketPath, method, path, order)
      return judge(response.statusCode ?? 0, await readAll(response)) as T
    })
  }
}

function beginExchange(socketPath: string, method: string, path: string, order: unknown): Promise<IncomingMessage> {
  const body = order === undefined ? undefined : Buffer.from(JSON.stringify(order))
  const headers = body && { 'content-type': 'application/json', 'content-length': body.length }
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false, ...(headers && { headers }) }, resolve)
    asked.setTimeout(ANSWER_TIME_MS, () =>
      asked.destroy(new AdminError('ERR_ADMIN_TIME', 'the server does not answer'))
    )
    asked.on('error', reject)
    asked.end(body)
  })
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > ANSWER_BYTES_MAX) throw new AdminError('ERR_ADMIN_ANSWER', 'the answer of the server is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function judge(status: number, text: string): unknown {
  const value = parse(text)
  if (status === 200) return value
  const { error } = (value ?? {}) as { error?: { code?: unknown; message?: unknown } }
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    throw new AdminError(error.code, error.message)
  }
  throw new AdminError('ERR_ADMIN_ANSWER', `the server answered with HTTP status ${status}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw new AdminError('ERR_ADMIN_ANSWER', 'what answers there is no server of Cloud-x')
  }
}

const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ENOTSOCK'])
const FORBIDDEN: ReadonlySet<string> = new Set(['EACCES', 'EPERM'])

function unreached(error: unknown, stateDirectory: string): AdminError {
  const code = codeOf(error)
  if (ABSENT.has(code)) {
    return new AdminError('ERR_ADMIN_NO_SERVER', `no server runs with ${stateDirectory}`, { cause: error })
  }
  if (FORBIDDEN.has(code)) {
    return new AdminError(
      'ERR_ADMIN_FORBIDDEN',
      `the server of ${stateDirectory} belongs to another user: ask as that user, or as administrator`,
      { cause: error }
    )
  }
  return new AdminError('ERR_ADMIN_ANSWER', `the server of ${stateDirectory} cannot be asked (${code})`, {
    cause: error
  })
}
