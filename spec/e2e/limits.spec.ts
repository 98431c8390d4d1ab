import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { describeWhen, describeWith, QemuIo } from '../support/programs.js'
import { write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const KIB = 1024
const MIB = 1024 * 1024
/** Room for 1 MiB of data and for the table that finds it (4 KiB for each 16 MiB of disk that holds any). */
const LIMIT = String(MIB + 8 * KIB)
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let server: ServerProcess | undefined
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(8 * MIB, 0x11))
  original = await sha256(image)
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args]))
const open = (name: string) =>
  QemuIo.open({ port: server!.port, target: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })

describeWith(['qemu-io'], '--delta-limit', () => {
  it('fails only what needs new space, for this client alone, and honestly', async () => {
    await start('--delta-limit', LIMIT)
    const [one, two] = [await open('one'), await open('two')]
    await one.write(0x22, 0, MIB)
    // 07/27/07, SPACE ALLOCATION FAILED WRITE PROTECT, is ENOSPC to QEMU.
    expect(await one.command(`write -P 0x33 ${MIB} 16k`)).toMatch(/write failed: No space left on device/)
    expect(await one.holds(0x22, 0, MIB)).toBe(true)
    expect(await one.holds(0x11, MIB, MIB)).toBe(true)
    await one.write(0x44, 4 * KIB, 64 * KIB + 512)
    expect(await one.holds(0x44, 4 * KIB, 64 * KIB + 512)).toBe(true)
    await two.write(0x55, 4 * MIB, MIB)
    expect(await two.holds(0x55, 4 * MIB, MIB)).toBe(true)
    // What is discarded makes room again.
    expect(await one.command('discard 512k 64k')).not.toMatch(/failed/)
    await one.write(0x66, 2 * MIB, 64 * KIB)
    expect(await one.holds(0x66, 2 * MIB, 64 * KIB)).toBe(true)
    expect(await one.holds(0, 512 * KIB, 64 * KIB)).toBe(true)
    // So does the logout.
    await one.quit()
    const again = await open('one')
    await again.write(0x77, 3 * MIB, MIB)
    await again.quit()
    await two.quit()
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it('holds for what a client wrote before a restart too', async () => {
    await start('--delta-limit', LIMIT)
    const one = await open('one')
    await one.write(0x22, 0, MIB)
    await one.kill()
    expect(await server!.stop()).toBe(0)
    await start('--delta-limit', LIMIT)
    const again = await open('one')
    expect(await again.command(`write -P 0x33 ${MIB} 16k`)).toMatch(/No space left on device/)
    expect(await again.holds(0x22, 0, MIB)).toBe(true)
    await again.quit()
  })
})

describe('the soft threshold', () => {
  it('is told once, at 80 %, as a unit attention and in the log', async () => {
    await start('--delta-limit', '1M')
    const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET })
    await initiator.command(TEST_UNIT_READY)
    const attentions: number[] = []
    for (let piece = 0; piece < 15; piece++) {
      const write = await initiator.command(write10(piece * 128, 128), { write: Buffer.alloc(64 * KIB, 0x22) })
      expect(write.status).toBe(0)
      const { senseText } = await initiator.command(TEST_UNIT_READY)
      if (senseText === '06/38/07') attentions.push(piece + 1)
      else expect(senseText).toBe('')
    }
    // The thirteenth 64 KiB of 1 MiB cross 80 %.
    expect(attentions).toEqual([13])
    expect(server!.lines(/80 %/)).toHaveLength(1)
    const full = await initiator.command(write10(4096, 128), { write: Buffer.alloc(64 * KIB, 0x33) })
    expect(full.senseText).toBe('07/27/07')
    await initiator.leave()
  })
})

describeWith(['qemu-io'], '--delta-total', () => {
  it('holds for all clients together, and space comes back with a logout', async () => {
    await start('--delta-total', String(MIB + 16 * KIB), '--undo', '0')
    const [one, two] = [await open('one'), await open('two')]
    await one.write(0x22, 0, 768 * KIB)
    await two.write(0x33, 0, 256 * KIB)
    expect(await two.command(`write -P 0x33 ${MIB} 16k`)).toMatch(/No space left on device/)
    expect(await one.command(`write -P 0x22 ${MIB} 16k`)).toMatch(/No space left on device/)
    expect(await one.holds(0x22, 0, 768 * KIB)).toBe(true)
    expect(await two.holds(0x33, 0, 256 * KIB)).toBe(true)
    await one.quit()
    await until('the other has room', async () => {
      const printed = await two.command(`write -P 0x44 ${MIB} 512k`)
      return printed.includes('wrote 524288/524288')
    })
    expect(await two.holds(0x44, MIB, 512 * KIB)).toBe(true)
    await two.quit()
  })
})

/** A small file system in memory; undefined where this user cannot mount one. */
function mountSmall(): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'cloudx-small-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', path], { stdio: 'ignore' })
    return path
  } catch {
    rmSync(path, { recursive: true })
    return undefined
  }
}

function unmount(path: string): void {
  execFileSync('umount', [path])
  rmSync(path, { recursive: true })
}

const small = mountSmall()
if (small !== undefined) unmount(small)

describeWhen(small !== undefined, 'file systems cannot be mounted here', 'a file system that is nearly full', () => {
  it('keeps its last 5 GiB: clients read, and what needs new space fails', async () => {
    const place = mountSmall()!
    try {
      const state = join(place, 'state')
      mkdirSync(state)
      await start('--state-dir', state)
      expect(await server!.logged(/WARN/)).toMatch(/space for deltas runs short: 0 bytes left/)
      const one = await open('one')
      expect(await one.holds(0x11, 0, 8 * MIB)).toBe(true)
      expect(await one.command('write -P 0x22 0 512')).toMatch(/No space left on device/)
      expect(await one.holds(0x11, 0, 8 * MIB)).toBe(true)
      await one.quit()
      expect(await server!.stop()).toBe(0)
    } finally {
      await server?.kill()
      unmount(place)
    }
  })
})
