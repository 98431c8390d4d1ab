import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CopyPart } from '../target/control.js'
import { COPY_STREAM_TYPE, encodeEnd, encodeError, encodePart } from './copy-stream.js'
import { AdminError } from './errors.js'
import { errorAnswer } from './http-errors.js'
import { BODY_BYTES_MAX, STREAM_IDLE_TIME_MS } from './limits.js'
import type { Route, RouteContext } from './route.js'

/**
 * HTTP over the routes, whatever carries it: a local socket now. A listener on TCP puts what it demands (token, origin)
 * in front of this and changes nothing here.
 */
export function makeHandler(routes: readonly Route[], context: RouteContext, log: Logger): RequestListener {
  return (request, response) => {
    answerRequest(routes, context, request, response).catch((error: unknown) => {
      const { status, body } = errorAnswer(error)
      if (status === 500) log.error(`${request.method} ${request.url} failed: ${messageOf(error)}`)
      send(response, status, body)
    })
  }
}

async function answerRequest(
  routes: readonly Route[],
  context: RouteContext,
  request: IncomingMessage,
  response: ServerResponse
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0]
  const here = routes.filter((route) => route.path === path)
  if (here.length === 0) throw new AdminError('ERR_ADMIN_PATH', `there is nothing at ${path}`)
  const route = here.find(({ method }) => method === request.method)
  if (!route) throw new AdminError('ERR_ADMIN_METHOD', `${request.method} is not possible at ${path}`)
  const body = route.method === 'POST' ? await readBody(request) : undefined
  if ('stream' in route) await sendParts(request, response, route.stream({ body }, context))
  else send(response, 200, await route.answer({ body }, context))
}

/** The first part decides between an answer and an error; from then on an error is a part of the body. */
async function sendParts(
  request: IncomingMessage,
  response: ServerResponse,
  parts: AsyncIterable<CopyPart>
): Promise<void> {
  const iterator = parts[Symbol.asyncIterator]()
  const first = await iterator.next()
  // Whoever reads it may wait for its own disk.
  request.socket.setTimeout(STREAM_IDLE_TIME_MS)
  response.writeHead(200, { 'content-type': COPY_STREAM_TYPE, 'cache-control': 'no-store', connection: 'close' })
  // A reader that goes away in the middle is its own business.
  await pipeline(Readable.from(recordsOf(first, iterator)), response).catch(() => undefined)
}

async function* recordsOf(first: IteratorResult<CopyPart>, rest: AsyncIterator<CopyPart>): AsyncGenerator<Buffer> {
  try {
    for (let part = first; !part.done; part = await rest.next()) yield encodePart(part.value)
    yield encodeEnd()
  } catch (error) {
    yield encodeError(error)
  } finally {
    await rest.return?.()
  }
}

/** A form of a web page cannot send this type, so no page can give an order by a mere link. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'application/json') throw new AdminError('ERR_ADMIN_TYPE', 'an order comes as application/json')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > BODY_BYTES_MAX)
      throw new AdminError('ERR_ADMIN_TOO_LARGE', `an order has at most ${BODY_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch {
    throw new AdminError('ERR_ADMIN_REQUEST', 'the order is no JSON')
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
    // The rest of a request that was refused early is not read.
    ...(status === 200 ? {} : { connection: 'close' })
  })
  response.end(body)
}
