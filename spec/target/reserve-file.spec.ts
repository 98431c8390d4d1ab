import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { ReserveFile } from '../../lib/target/reserve-file.js'

const LENGTH = 3 * 2 ** 20 + 5
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'reserve-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))
const size = () => statSync(join(directory, 'reserve')).size

describe('a reserve', () => {
  it('takes its room with bytes that no file system stores in less', async () => {
    const reserve = new ReserveFile(directory, LENGTH)
    await Promise.all([reserve.fill(), reserve.fill()])
    expect(size()).toBe(LENGTH)
    expect(gzipSync(readFileSync(join(directory, 'reserve')), { level: 1 }).length).toBeGreaterThan(LENGTH * 0.99)
  })

  it('is given back at once, and once', async () => {
    const reserve = new ReserveFile(directory, LENGTH)
    expect(reserve.release()).toBe(false)
    await reserve.fill()
    expect([reserve.release(), size(), reserve.release()]).toEqual([true, 0, false])
    await reserve.fill()
    expect([reserve.release(), size()]).toEqual([true, 0])
  })

  it('of another run counts, when it is whole', async () => {
    await new ReserveFile(directory, LENGTH).fill()
    const found = new ReserveFile(directory, LENGTH)
    await found.find()
    expect(found.release()).toBe(true)
    const empty = new ReserveFile(directory, LENGTH)
    await empty.find()
    expect(empty.release()).toBe(false)
  })

  it('is none, and no error, where it has no room', async () => {
    const reserve = new ReserveFile(join(directory, 'missing'), LENGTH)
    await reserve.fill()
    expect([reserve.release(), existsSync(join(directory, 'missing'))]).toEqual([false, false])
  })
})
