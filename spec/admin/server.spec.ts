import { once } from 'node:events'
import { link, lstat, mkdir, mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttp, request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { AdminClient } from '../../lib/admin/client.js'
import { endpointOf, SOCKET_PATH_BYTES_MAX } from '../../lib/admin/endpoint.js'
import { makeHandler } from '../../lib/admin/handler.js'
import { errorAnswer } from '../../lib/admin/http-errors.js'
import { BODY_BYTES_MAX, CONNECTIONS_MAX } from '../../lib/admin/limits.js'
import { optionalSwitch, optionalText, refuseOthers, textField } from '../../lib/admin/route.js'
import { deltas } from '../../lib/admin/routes/deltas.js'
import { images } from '../../lib/admin/routes/images.js'
import { routes } from '../../lib/admin/routes/index.js'
import { policies } from '../../lib/admin/routes/policies.js'
import { sessions } from '../../lib/admin/routes/sessions.js'
import { status } from '../../lib/admin/routes/status.js'
import { AdminServer } from '../../lib/admin/server.js'
import type { UndoOrder } from '../../lib/target/control.js'
import { codeOf, IscsiError } from '../../lib/util/errors.js'
import { FAKE_PC, FAKE_TARGET, fakeControl } from '../support/fake-control.js'
import { LogRecorder } from '../support/log-recorder.js'

let folder: string
let log: LogRecorder
let orders: UndoOrder[]
let server: AdminServer
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cloudx-admin-')))
  log = new LogRecorder()
  orders = []
  server = make()
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

const make = () => new AdminServer({ control: fakeControl(folder, orders), version: '1.2.3', log })

interface Raw {
  readonly status: number
  readonly value: { readonly error?: { readonly code: string } }
}

/** A request as any program could send it. */
function ask(method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const socketPath = endpointOf(folder)
    const asked = request({ socketPath, method, path, agent: false, headers }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode!, value: JSON.parse(text) as Raw['value'] }))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}
const JSON_TYPE = { 'content-type': 'application/json' }

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => codeOf(error)
  )
}

describe('the control channel', () => {
  it('answers what the control says, over a socket that only its user can open', async () => {
    await server.listen(folder)
    const { mode } = await lstat(join(folder, 'control.sock'))
    expect(mode & 0o777).toBe(0o600)
    const client = new AdminClient(folder)
    expect(await client.status()).toMatchObject({
      version: '1.2.3',
      pid: process.pid,
      startedAt: 1_700_000_000_000,
      sessionCount: 1,
      deltaCount: 1,
      bin: { count: 1, bytes: 4 << 20 },
      space: [{ path: folder, usedBytes: 9 << 20 }]
    })
    expect(await client.sessions()).toMatchObject({ sessions: [{ initiatorName: FAKE_PC }] })
    expect(await client.deltas()).toMatchObject({
      initiators: [{ initiatorName: FAKE_PC }],
      bin: [{ targetName: FAKE_TARGET }]
    })
    expect(await client.undo({ initiator: FAKE_PC, discard: true })).toMatchObject({ renewed: true })
    expect(orders).toEqual([{ initiator: FAKE_PC, target: undefined, discard: true }])
  })

  it('leaves the mode of files that are made afterwards alone', async () => {
    const before = process.umask()
    await server.listen(folder)
    expect(process.umask()).toBe(before)
  })

  it('hands on the code and the sentence of a refusal', async () => {
    await server.listen(folder)
    const refused = new AdminClient(folder).undo({ initiator: 'iqn.2026-01.org.example:other' })
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_ISCSI_UNDO_SESSION',
      message: 'iqn.2026-01.org.example:other is logged in'
    })
  })

  it('works in a folder whose path is too long for an address, and leaves no link behind', async () => {
    const deep = join(folder, 'x'.repeat(120), '공유'.repeat(10))
    await mkdir(deep, { recursive: true })
    const links = async () => (await readdir(tmpdir())).filter((name) => /^cloudx-socket-/.test(name)).length
    const before = await links()
    await server.listen(deep)
    expect((await lstat(join(deep, 'control.sock'))).isSocket()).toBe(true)
    expect((await new AdminClient(deep).status()).version).toBe('1.2.3')
    expect(await links()).toBe(before)
    await server.close()
    expect(await readdir(deep)).toEqual([])
  })

  it('takes the place of a socket that nobody listens on, as a killed server leaves it', async () => {
    // Node removes the file of a socket that it closes; a link to the same inode stays, as after a kill.
    const other = createServer().listen(join(folder, 'other.sock'))
    await once(other, 'listening')
    await link(join(folder, 'other.sock'), endpointOf(folder))
    other.close()
    await once(other, 'close')
    expect((await lstat(endpointOf(folder))).isSocket()).toBe(true)
    expect(await failure(new AdminClient(folder).status())).toBe('ERR_ADMIN_NO_SERVER')
    await server.listen(folder)
    expect((await new AdminClient(folder).status()).version).toBe('1.2.3')
  })

  it('never takes the place of one that answers, nor of a file that is none', async () => {
    await server.listen(folder)
    const second = make()
    expect(await failure(second.listen(folder))).toBe('ERR_ADMIN_TAKEN')
    expect((await new AdminClient(folder).status()).version).toBe('1.2.3')
    await server.close()
    await writeFile(endpointOf(folder), 'notes')
    expect(await failure(second.listen(folder))).toBe('ERR_ADMIN_TAKEN')
    await second.close()
  })

  it('takes its sockets away when it closes, and cuts who hangs on them', async () => {
    await server.listen(folder)
    const idle = connect(endpointOf(folder))
    await once(idle, 'connect')
    const closed = once(idle, 'close')
    await server.close()
    await closed
    expect(await readdir(folder)).toEqual([])
  })

  it('lets in so many connections and no more', async () => {
    await server.listen(folder)
    const held = Array.from({ length: CONNECTIONS_MAX }, () => connect(endpointOf(folder)))
    await Promise.all(held.map((socket) => once(socket, 'connect')))
    const one = connect(endpointOf(folder))
    await once(one, 'close')
    held.forEach((socket) => socket.destroy())
  })
})

describe('a request that is none of ours', () => {
  it.each<[string, string, string, string, Record<string, string>, number, string]>([
    ['an unknown path', 'GET', '/v1/nothing', '', {}, 404, 'ERR_ADMIN_PATH'],
    ['no version', 'GET', '/status', '', {}, 404, 'ERR_ADMIN_PATH'],
    ['the wrong method', 'POST', '/v1/status', '{}', JSON_TYPE, 405, 'ERR_ADMIN_METHOD'],
    ['an order by GET', 'GET', '/v1/deltas/undo', '', {}, 405, 'ERR_ADMIN_METHOD'],
    ['a form', 'POST', '/v1/deltas/undo', 'initiator=x', { 'content-type': 'text/plain' }, 415, 'ERR_ADMIN_TYPE'],
    ['no JSON', 'POST', '/v1/deltas/undo', '{', JSON_TYPE, 400, 'ERR_ADMIN_REQUEST'],
    ['a JSON list', 'POST', '/v1/deltas/undo', '[]', JSON_TYPE, 400, 'ERR_ADMIN_REQUEST'],
    ['a field that is missing', 'POST', '/v1/deltas/undo', '{}', JSON_TYPE, 400, 'ERR_ADMIN_REQUEST'],
    ['a field of another type', 'POST', '/v1/deltas/undo', '{"initiator":1}', JSON_TYPE, 400, 'ERR_ADMIN_REQUEST'],
    [
      'a field that does not exist',
      'POST',
      '/v1/deltas/undo',
      '{"initiator":"a","discrad":true}',
      JSON_TYPE,
      400,
      'ERR_ADMIN_REQUEST'
    ],
    [
      'a body that is too long',
      'POST',
      '/v1/deltas/undo',
      ' '.repeat(BODY_BYTES_MAX + 1),
      JSON_TYPE,
      413,
      'ERR_ADMIN_TOO_LARGE'
    ]
  ])('is refused: %s', async (_title, method, path, body, headers, code, error) => {
    await server.listen(folder)
    const answer = await ask(method, path, body, headers)
    expect([answer.status, answer.value.error?.code]).toEqual([code, error])
    expect(orders).toEqual([])
  })
})

describe('the client', () => {
  it.each(['', '/none/of/this'])('says that no server runs in a folder without one: %j', async (path) => {
    expect(await failure(new AdminClient(path === '' ? folder : path).status())).toBe('ERR_ADMIN_NO_SERVER')
  })

  it('says so when something else answers', async () => {
    const other = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.resume().end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi')
    }).listen(endpointOf(folder))
    await once(other, 'listening')
    expect(await failure(new AdminClient(folder).status())).toBe('ERR_ADMIN_ANSWER')
    other.close()
    await once(other, 'close')
  })
})

describe('endpointOf', () => {
  it('is a pipe on Windows, the same for both cases of a path', () => {
    const pipe = endpointOf('C:\\Images\\share.img.cloudx', 'win32')
    expect(pipe).toMatch(/^\\\\\.\\pipe\\cloudx-[0-9a-f]{32}$/)
    expect(endpointOf('c:\\images\\SHARE.IMG.cloudx', 'win32')).toBe(pipe)
    expect(endpointOf('c:\\images\\other.img.cloudx', 'win32')).not.toBe(pipe)
  })

  it('knows what fits into an address of every system', () => {
    // sun_path of macOS and of FreeBSD: 104 bytes with the NUL.
    expect(SOCKET_PATH_BYTES_MAX).toBe(103)
  })
})

describe('routes', () => {
  it('are all in the list, each once, below the version', () => {
    expect(routes).toEqual([...status, ...sessions, ...deltas, ...policies, ...images])
    const keys = routes.map(({ method, path }) => `${method} ${path}`)
    expect(new Set(keys).size).toBe(keys.length)
    expect(routes.every(({ path }) => path.startsWith('/v1/'))).toBe(true)
  })

  it('read the fields of an order', () => {
    const body = { a: 'x', b: true, c: null }
    expect([textField(body, 'a'), optionalText(body, 'c'), optionalSwitch(body, 'b')]).toEqual(['x', undefined, true])
    expect(() => textField({ a: '' }, 'a')).toThrow('"a" must be a text')
    expect(() => optionalSwitch({ b: 'yes' }, 'b')).toThrow('"b" must be true or false')
    expect(() => refuseOthers(body, ['a', 'b'])).toThrow('"c"')
  })
})

describe('an error of ours', () => {
  it('is told by its code; of any other nothing gets out', () => {
    expect(errorAnswer(new IscsiError('ERR_ISCSI_UNDO_NOTHING', 'nothing')).status).toBe(404)
    expect(errorAnswer(new IscsiError('ERR_ISCSI_LOCKED', 'locked')).status).toBe(409)
    expect(errorAnswer(new IscsiError('ENOSPC', 'full')).status).toBe(500)
    expect(JSON.stringify(errorAnswer(new TypeError('/secret/path')))).not.toContain('secret')
  })

  it('is written to the log', async () => {
    const broken = { method: 'GET' as const, path: '/v1/broken', answer: () => Promise.reject(new Error('oops')) }
    const http = createHttp(makeHandler([broken], { control: fakeControl(folder), version: '0' }, log))
    http.listen(endpointOf(folder))
    await once(http, 'listening')
    expect((await ask('GET', '/v1/broken')).value.error?.code).toBe('ERR_ADMIN_FAILED')
    expect(log.with('error', '/v1/broken', 'oops')).toHaveLength(1)
    http.close()
    await once(http, 'close')
  })
})
