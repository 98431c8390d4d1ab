import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { bootableDisk, IPXE_ROM, NetworkBoot, WRITTEN } from '../support/ipxe.js'
import { describeWith, QemuIo } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(300_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const OTHER_PC = 'iqn.2026-01.org.example:other-pc'
const ORIGINAL = 'as the author left it'
const LENGTH = 16 * 1024 * 1024

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let server: ServerProcess
let pcs: NetworkBoot[]
beforeEach(async () => {
  work = workDirectory()
  pcs = []
  image = join(work.path, 'share.img')
  writeFileSync(image, bootableDisk(ORIGINAL, LENGTH))
  original = await sha256(image)
  server = await start()
})
afterEach(async () => {
  await Promise.all(pcs.map((pc) => pc.switchOff()))
  await server.kill()
  const after = await sha256(image)
  work.remove()
  expect(after).toBe(original)
})

const start = () => ServerProcess.start(['--lun', image, '--target-name', TARGET])

function switchOn(initiatorName = PC): NetworkBoot {
  const lines = [`sanboot iscsi:10.0.2.2::${server.port}:0:${TARGET}`]
  const pc = new NetworkBoot(work.path, { initiatorName, lines })
  pcs.push(pc)
  return pc
}

/** Boots once and takes the power away. */
async function boot(initiatorName = PC): Promise<{ was: string; is: string }> {
  const pc = switchOn(initiatorName)
  const seen = await pc.booted()
  await pc.switchOff()
  return seen
}

describeWith(['qemu-system-x86_64', 'qemu-io', IPXE_ROM], 'a PC that boots with iPXE', () => {
  it('has a disk of its own to read and write, which it finds again after it was switched off', async () => {
    const [pc, otherPc] = [switchOn(), switchOn(OTHER_PC)]
    expect(await pc.booted()).toEqual({ was: ORIGINAL, is: WRITTEN })
    expect(await otherPc.booted()).toEqual({ was: ORIGINAL, is: WRITTEN })
    await Promise.all([pc.switchOff(), otherPc.switchOff()])
    await server.logged(/:pc: .* kept for 96 h/)
    // iPXE draws a new ISID for each of its sessions.
    expect((await boot()).was).toBe(WRITTEN)
    const logins = server.lines(/:pc logged in/).map((line) => /ISID (4000 ?2723\w{4})/.exec(line)?.[1])
    expect(new Set(logins).size).toBe(2)
  })

  it('hands its disk over to the system that it boots, whose logout drops what both wrote', async () => {
    const pc = switchOn()
    expect((await pc.booted()).is).toBe(WRITTEN)
    const system = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: PC })
    expect(await server.logged(/:pc left/)).toMatch(/the booted system took over/)
    const sector = await system.command('read -v 512 512')
    // Its text column shows a blank as a dot.
    expect(sector).toContain(WRITTEN.slice(0, 16).replaceAll(' ', '.'))
    await system.quit()
    await server.logged(/:pc.*\b(dropped|restored)/)
    await pc.switchOff()
    expect((await boot()).was).toBe(ORIGINAL)
  })

  it('boots the image when its delta was lost while it was off: READ CAPACITY is its look at the disk', async () => {
    expect((await boot()).is).toBe(WRITTEN)
    await server.stop()
    const deltas = join(`${image}.cloudx`, 'deltas')
    for (const name of readdirSync(deltas)) rmSync(join(deltas, name), { recursive: true })
    server = await start()
    await server.logged(/:pc.*removed/)
    expect(await boot()).toEqual({ was: ORIGINAL, is: WRITTEN })
  })
})
