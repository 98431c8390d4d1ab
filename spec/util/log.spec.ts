import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { LOG_MESSAGE_LENGTH_MAX, openLog, silentLog } from '../../lib/util/log.js'
import type { LogFormat, LogLevel } from '../../lib/util/log.js'

/** A rotation takes some turns and renames files meanwhile; this waits for the line itself. */
async function written(folder: string, text: string): Promise<void> {
  const holds = (name: string) => {
    try {
      return readFileSync(join(folder, name), 'utf8').includes(text)
    } catch {
      return false
    }
  }
  while (!readdirSync(folder).some(holds)) await new Promise((resolve) => setImmediate(resolve))
}

class Lines extends Writable {
  text = ''
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
  get lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }
}

function logTo(format: LogFormat, level: LogLevel = 'debug') {
  const stream = new Lines()
  return { stream, log: openLog({ level, format, file: undefined }, stream) }
}

describe('openLog', () => {
  it('writes a line with time, level and sentence for people', () => {
    const { log, stream } = logTo('human')
    log.warn('The delta is nearly full.', { initiator: 'iqn.2025-01.org.example:pc' })
    expect(stream.lines).toHaveLength(1)
    expect(stream.lines[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN {2}The delta is nearly full\.$/)
  })

  it('writes one JSON object a line for programs, with the fields', () => {
    const { log, stream } = logTo('json')
    log.info('Logged in.', { initiator: 'iqn.2025-01.org.example:pc', bytes: 2n ** 60n })
    expect(JSON.parse(stream.lines[0]!)).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      level: 'info',
      message: 'Logged in.',
      initiator: 'iqn.2025-01.org.example:pc',
      bytes: '1152921504606846976'
    })
  })

  it('keeps time, level and message from fields of the same name', () => {
    const { log, stream } = logTo('json')
    log.info('Logged in.', { level: 'error', message: 'forged' })
    expect(JSON.parse(stream.lines[0]!)).toMatchObject({ level: 'info', message: 'Logged in.' })
  })

  it.each<[LogLevel, string[]]>([
    ['error', ['e']],
    ['warn', ['e', 'w']],
    ['info', ['e', 'w', 'i']],
    ['debug', ['e', 'w', 'i', 'd']]
  ])('at level %s writes that and what is more important', (level, expected) => {
    const { log, stream } = logTo('json', level)
    log.error('e')
    log.warn('w')
    log.info('i')
    log.debug('d')
    expect(stream.lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(expected)
  })

  it.each<LogFormat>(['human', 'json'])('lets no text of a peer begin a line of its own (%s)', (format) => {
    const { log, stream } = logTo(format)
    log.info('Refused "x\r\n2026-01-01 00:00:00.000 INFO  forged\u001b[2J\u2028".')
    expect(stream.lines).toHaveLength(1)
    for (const char of ['\r', '\u001b', '\u2028']) expect(stream.text).not.toContain(char)
  })

  it('cuts a sentence that a peer made too long', () => {
    const { log, stream } = logTo('json')
    log.info('x'.repeat(LOG_MESSAGE_LENGTH_MAX + 1))
    expect((JSON.parse(stream.lines[0]!) as { message: string }).message).toBe(`${'x'.repeat(LOG_MESSAGE_LENGTH_MAX)}…`)
  })

  it('writes no field that is called a secret, however deep it lies', () => {
    const { log, stream } = logTo('json')
    log.info('x', {
      chapSecret: 'hunter2hunter2',
      target: { chap: { user: 'pc', secret: Buffer.from('hunter2') } },
      password: 'hunter2'
    })
    expect(stream.text).not.toContain('hunter2')
    expect(stream.text).not.toContain(String(Buffer.from('hunter2')[0]) + ',')
    expect(JSON.parse(stream.lines[0]!)).toMatchObject({ target: { chap: { user: 'pc', secret: '(hidden)' } } })
  })

  it('outlives a stream that is broken', () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) })
    const log = openLog({ level: 'info', format: 'human', file: undefined }, stream)
    expect(() => {
      log.info('one')
      log.info('two')
    }).not.toThrow()
  })

  describe('with a file', () => {
    let folder: string
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'cloudx-log-'))
    })
    afterEach(() => rmSync(folder, { recursive: true, force: true }))

    it('has written the last line when close resolves', async () => {
      const file = join(folder, 'server.log')
      const log = openLog({ level: 'info', format: 'json', file }, new Lines())
      for (let i = 0; i < 100; i++) log.info(`line ${i}`)
      await log.close()
      const lines = readFileSync(file, 'utf8').trim().split('\n')
      expect(lines).toHaveLength(100)
      expect(lines[99]).toContain('line 99')
    })

    it('keeps a bounded number of files of a bounded size', async () => {
      const file = join(folder, 'server.log')
      const log = openLog({ level: 'info', format: 'human', file }, new Lines(), { bytes: 2000, count: 3 })
      for (let i = 0; i < 60; i++) {
        log.info(`line ${i} ${'x'.repeat(100)}`)
        await written(folder, `line ${i} `)
      }
      await log.close()
      const names = readdirSync(folder)
      expect(names.length).toBeGreaterThan(1)
      expect(names.length).toBeLessThanOrEqual(3)
      for (const name of names) expect(statSync(join(folder, name)).size).toBeLessThan(2000 + 500)
    })
  })
})

describe('silentLog', () => {
  it('takes every level', () => {
    expect(() => {
      silentLog.error('x')
      silentLog.warn('x')
      silentLog.info('x')
      silentLog.debug('x')
    }).not.toThrow()
  })
})
