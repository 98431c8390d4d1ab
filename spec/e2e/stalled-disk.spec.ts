import { spawn, type ChildProcess } from 'node:child_process'
import { truncateSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWhen, isInstalled, succeed } from '../support/programs.js'
import { BLOCK, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(240_000)

/**
 * A disk that stops answering: an image behind FUSE, whose program is stopped. Whoever reads it then waits in the
 * kernel, as in front of a disk that spins up or a cable that was pulled, for as long as the spec wants. Nothing here is
 * measured: what others get, they get while the disk stands still.
 */
const TARGET = 'iqn.2026-01.org.example:disk'
const MIB = 1024 * 1024
const STUCK = 64

const possible =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  isInstalled('/dev/fuse') &&
  isInstalled('qemu-storage-daemon')

describeWhen(possible, 'needs root, /dev/fuse and qemu-storage-daemon', 'a disk that stops answering', () => {
  let work: ReturnType<typeof workDirectory>
  let quick: string
  let slow: string
  let daemon: ChildProcess
  let server: ServerProcess | undefined

  beforeEach(async () => {
    work = workDirectory()
    quick = join(work.path, 'quick.img')
    slow = join(work.path, 'slow.img')
    const raw = join(work.path, 'slow.raw')
    for (const path of [quick, raw]) {
      writeFileSync(path, Buffer.alloc(MIB, path === raw ? 0x51 : 0x52))
      truncateSync(path, 64 * MIB)
    }
    writeFileSync(slow, '')
    const node = ['--blockdev', `driver=file,filename=${raw},node-name=disk`]
    const shown = ['--export', `type=fuse,id=shown,node-name=disk,mountpoint=${slow},writable=on`]
    daemon = spawn('qemu-storage-daemon', [...node, ...shown], { stdio: 'ignore' })
    await until('the image is there', async () => {
      const { size } = await stat(slow)
      return size === 64 * MIB
    })
  })
  afterEach(async () => {
    daemon.kill('SIGCONT')
    await server?.kill()
    server = undefined
    await succeed('fusermount3', ['-u', slow])
    daemon.kill('SIGKILL')
    work.remove()
  })

  const login = (name: string) =>
    ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })

  /** What a client does all day, on LUN 1 and in its own part of LUN 0. */
  async function dayOf(initiator: ScriptedInitiator, round: number): Promise<void> {
    const data = Buffer.alloc(8 * BLOCK, round + 1)
    expect((await initiator.nop(Buffer.from('still there'))).data.toString()).toBe('still there')
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    const base = await initiator.command(read10(0, 8), { read: data.length, lun: 1 })
    expect(base.data.equals(Buffer.alloc(8 * BLOCK, 0x52))).toBe(true)
    expect((await initiator.command(write10(4096, 8), { write: data, lun: 1 })).status).toBe(0)
    expect((await initiator.command(read10(4096, 8), { read: data.length, lun: 1 })).data.equals(data)).toBe(true)
  }

  it('keeps those waiting who read from it; others work, log in and out, and so does their share of it', async () => {
    const args = ['--lun', slow, '--lun', quick, '--target-name', TARGET, '--state-dir', join(work.path, 'state')]
    server = await ServerProcess.start(args)
    const old = await login('old')
    const stuck = await Promise.all([login('stuck-1'), login('stuck-2')])
    expect((await old.command(write10(0, 8), { write: Buffer.alloc(8 * BLOCK, 7) })).status).toBe(0)
    let answers = 0
    daemon.kill('SIGSTOP')
    const waiting = stuck.flatMap((initiator) =>
      Array.from({ length: STUCK }, (_, index) =>
        initiator.command(read10(index * 8, 8), { read: 8 * BLOCK }).then((outcome) => {
          answers++
          return outcome
        })
      )
    )
    for (let round = 0; round < 20; round++) await dayOf(old, round)
    // What it has written itself does not lie on that disk.
    const own = await old.command(read10(0, 8), { read: 8 * BLOCK })
    expect(own.data.equals(Buffer.alloc(8 * BLOCK, 7))).toBe(true)
    for (let round = 0; round < 3; round++) {
      const fresh = await login(`fresh-${round}`)
      await dayOf(fresh, round)
      await fresh.leave()
    }
    expect(answers).toBe(0)
    daemon.kill('SIGCONT')
    const outcomes = await Promise.all(waiting)
    expect(outcomes.every(({ data }) => data.equals(Buffer.alloc(8 * BLOCK, 0x51)))).toBe(true)
    for (const initiator of [...stuck, old]) await initiator.leave()
    expect(await server.stop()).toBe(0)
  })

  it('keeps those waiting who write to it, and nobody else', async () => {
    const args = ['--lun', `${slow},shared`, '--lun', quick, '--target-name', TARGET]
    server = await ServerProcess.start([...args, '--state-dir', join(work.path, 'state')])
    const old = await login('old')
    const stuck = await Promise.all([login('stuck-1'), login('stuck-2')])
    let answers = 0
    daemon.kill('SIGSTOP')
    const waiting = stuck.flatMap((initiator, one) =>
      Array.from({ length: STUCK }, (_, index) =>
        initiator
          .command(write10((one * STUCK + index) * 8, 8), { write: Buffer.alloc(8 * BLOCK, index) })
          .then((outcome) => {
            answers++
            return outcome
          })
      )
    )
    for (let round = 0; round < 20; round++) await dayOf(old, round)
    for (let round = 0; round < 3; round++) {
      const fresh = await login(`fresh-${round}`)
      await dayOf(fresh, round)
      await fresh.leave()
    }
    expect(answers).toBe(0)
    daemon.kill('SIGCONT')
    expect((await Promise.all(waiting)).every(({ status }) => status === 0)).toBe(true)
    const last = await old.command(read10((2 * STUCK - 1) * 8, 8), { read: 8 * BLOCK })
    expect(last.data.equals(Buffer.alloc(8 * BLOCK, STUCK - 1))).toBe(true)
    for (const initiator of [...stuck, old]) await initiator.leave()
    expect(await server.stop()).toBe(0)
  })
})
