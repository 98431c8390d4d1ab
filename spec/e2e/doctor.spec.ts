import { afterEach, expect, it, jest } from '@jest/globals'
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { run } from '../support/programs.js'
import { freePort, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

let taken: Server | undefined
afterEach(() => {
  taken?.close()
})

it('looks at this very PC, and finds a port that is taken', async () => {
  const work = workDirectory()
  try {
    const doctor = async (port: number) => {
      const program = process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs'
      const args = [
        program,
        'doctor',
        '--json',
        '--lun',
        join(work.path, 'a.img'),
        '--port',
        String(port),
        '--host',
        '127.0.0.1'
      ]
      const { code, output } = await run(process.execPath, args, { environment: { NODE_OPTIONS: '', LC_ALL: 'C' } })
      const { findings } = JSON.parse(output) as { findings: { check: string; state: string; command?: string }[] }
      return { code, findings, port: findings.find(({ check }) => check === 'port')! }
    }
    const port = await freePort()
    const free = await doctor(port)
    expect(free.findings).toHaveLength(9)
    expect(free.port.state).toBe('ok')
    // Whatever else this computer lacks decides about the exit code.
    expect(free.code).toBe(free.findings.some(({ state }) => state === 'problem') ? 1 : 0)
    expect(free.findings.filter(({ state, command }) => state !== 'ok' && command === undefined)).toEqual([])
    taken = createServer().listen(port, '127.0.0.1')
    await once(taken, 'listening')
    const second = await doctor(port)
    expect(second).toMatchObject({ code: 1, port: { state: 'problem' } })
    expect(second.port.command).toContain(String(port))
  } finally {
    work.remove()
  }
})

it.each([
  ['doctor', 'node $PROGRAM doctor | true'],
  ['--help', 'node $PROGRAM --help | true']
])('says nothing when nobody reads what %s answers', async (_command, line) => {
  const PROGRAM = process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs'
  expect(await run('sh', ['-c', line], { environment: { NODE_OPTIONS: '', PROGRAM } })).toEqual({ code: 0, output: '' })
})

it('fails when its answer cannot be written', async () => {
  const PROGRAM = process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs'
  const { code } = await run('sh', ['-c', 'node $PROGRAM --help > /dev/full'], {
    environment: { NODE_OPTIONS: '', PROGRAM }
  })
  expect(code).toBe(1)
})
