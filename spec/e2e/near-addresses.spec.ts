import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals'
import { describeWhen, isInstalled, run } from '../support/programs.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const INITIATOR = 'iqn.2026-01.org.example:pc'
/** Another PC, as the kernel makes one: a network of its own, with a cable to us. */
const OTHER_PC = `cloudx${process.pid}`
const CABLE = `cx${process.pid}`
/** Ours and theirs on that cable: a documentation network, which is public to every rule, and a private one. */
const PUBLIC = { ours: '203.0.113.1', theirs: '203.0.113.9' }
const PRIVATE = { ours: '10.203.113.1', theirs: '10.203.113.9' }

const ip = (...words: readonly string[]) => execFileSync('ip', words, { stdio: 'pipe' })

/** Tries it with a network that ends with the program in it. */
function canMakeNetworks(): boolean {
  try {
    execFileSync('unshare', ['--net', 'true'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

const possible = isInstalled('ip') && isInstalled('iscsi-inq') && canMakeNetworks()

describeWhen(possible, 'needs root, ip and iscsi-inq', 'a client that is not near', () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess | undefined

  beforeAll(() => {
    work = workDirectory()
    ip('netns', 'add', OTHER_PC)
    ip('link', 'add', `${CABLE}a`, 'type', 'veth', 'peer', 'name', `${CABLE}b`, 'netns', OTHER_PC)
    for (const { ours, theirs } of [PUBLIC, PRIVATE]) {
      ip('addr', 'add', `${ours}/24`, 'dev', `${CABLE}a`)
      ip('-n', OTHER_PC, 'addr', 'add', `${theirs}/24`, 'dev', `${CABLE}b`)
    }
    ip('link', 'set', `${CABLE}a`, 'up')
    ip('-n', OTHER_PC, 'link', 'set', `${CABLE}b`, 'up')
  })
  afterEach(async () => {
    await server?.kill()
  })
  afterAll(() => {
    ip('netns', 'del', OTHER_PC)
    work.remove()
  })

  const start = async (args: readonly string[]) => {
    const image = join(work.path, 'share.img')
    const all = ['--lun', image, '--size', '1M', '--blank', '--target-name', TARGET, ...args]
    server = await ServerProcess.start(all, { hosts: ['0.0.0.0'] })
  }
  const codeOf = async (address: string, launcher: readonly string[] = ['ip', 'netns', 'exec', OTHER_PC]) => {
    const [program, ...line] = [...launcher, 'iscsi-inq', '-i', INITIATOR]
    return (await run(program, [...line, `iscsi://${address}:${server!.port}/${TARGET}/0`])).code
  }

  it('is refused without --allow, and the log names the option that lets it in', async () => {
    await start([])
    expect(await codeOf(PUBLIC.ours)).not.toBe(0)
    expect(await server!.logged(/refused \(0202h\)/)).toMatch(/203\.0\.113\.9 is no private.*--allow 203\.0\.113\.9 /)
    expect(await codeOf(PRIVATE.ours)).toBe(0)
    // This PC itself, though it reaches the server at its public address.
    expect(await codeOf(PUBLIC.ours, ['env'])).toBe(0)
  })

  it('gets in when --allow names it', async () => {
    await start(['--allow', '203.0.113.0/24'])
    expect(await codeOf(PUBLIC.ours)).toBe(0)
    expect(await codeOf(PRIVATE.ours)).not.toBe(0)
  })

  it('is not listened for at a public address without CHAP', async () => {
    const args = ['--lun', join(work.path, 'share.img'), '--size', '1M', '--blank']
    const { code, log } = await ServerProcess.run(args, { hosts: [PUBLIC.ours] })
    expect(code).toBe(1)
    expect(log.join('\n')).toMatch(/--host: 203\.0\.113\.1 is a public address/)
  })
})
