import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, workDirectory, type StartOptions } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const INITIATOR = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const SECRET = 'open sesame 1'
const MUTUAL_SECRET = 'who goes there'

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, new Random(20260102).bytes(Buffer.alloc(4 * MIB)))
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (args: readonly string[], options: StartOptions = {}) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args], options))

function secretFile(name: string, secret: string): string {
  const path = join(work.path, name)
  writeFileSync(path, `${secret}\n`, { mode: 0o600 })
  return path
}

const inquire = (initiatorName: string, user?: string, environment: Record<string, string> = {}) =>
  run('iscsi-inq', ['-i', initiatorName, server!.url(TARGET, 0, user)], { environment })

describeWith(['iscsi-inq', 'iscsi-ls'], '--allow', () => {
  it('lets in the initiators that it names, and tells the others and the log', async () => {
    await start(['--allow', INITIATOR, '--allow', 'iqn.2026-01.org.example:lab-*'])
    expect((await inquire(INITIATOR)).code).toBe(0)
    expect((await inquire('iqn.2026-01.org.example:lab-7')).code).toBe(0)
    const refused = await inquire('iqn.2026-01.org.example:stranger')
    expect(refused.code).not.toBe(0)
    expect(refused.output).toMatch(/Authorization failure|Target not found|514|Failed to connect/i)
    expect(await server!.logged(/stranger.*refused/)).toMatch(/to iqn\.2026-01\.org\.example:disk .*\(0202h\)/)
    // Who may not come in does not see that there is something.
    const listed = await run('iscsi-ls', [
      '-i',
      'iqn.2026-01.org.example:stranger',
      `iscsi://127.0.0.1:${server!.port}`
    ])
    expect(listed.output).not.toContain(TARGET)
    expect(await succeed('iscsi-ls', ['-i', INITIATOR, `iscsi://127.0.0.1:${server!.port}`])).toContain(TARGET)
  })

  it('takes names in any letter case, as initiators write them', async () => {
    await start(['--allow', 'iqn.2026-01.org.example:PC'])
    expect((await inquire('IQN.2026-01.org.Example:pC')).code).toBe(0)
  })

  it('lets in the addresses of a range', async () => {
    await start(['--allow', '127.0.0.0/30'])
    const status = async (localAddress: string) => {
      const initiator = await ScriptedInitiator.connect(server!.port, '127.0.0.1', localAddress)
      const outcome = await initiator.tryLogin({ targetName: TARGET })
      if (outcome.status === 0) await initiator.leave()
      else await initiator.close()
      return outcome.status
    }
    expect(await status('127.0.0.3')).toBe(0)
    expect(await status('127.0.0.4')).toBe(0x0202)
  })
})

describeWith(['iscsi-inq', 'qemu-io'], 'CHAP', () => {
  it('lets in who knows the secret of the file, and nobody else', async () => {
    await start(['--chap-user', 'pc', '--chap-secret-file', secretFile('secret.txt', SECRET)])
    expect((await inquire(INITIATOR, `pc%${SECRET}`)).code).toBe(0)
    for (const user of ['pc%open sesame 2', 'PC%open sesame 1', 'other%open sesame 1', undefined]) {
      const { code } = await inquire(INITIATOR, user)
      expect({ user, refused: code !== 0 }).toEqual({ user, refused: true })
    }
    expect(server!.lines(/logged in to/)).toHaveLength(1)
    await server!.logged(/refused \(0201h\)/)
    const disk = await QemuIo.open({
      ...{ port: server!.port, target: TARGET, initiatorName: INITIATOR },
      chap: { user: 'pc', secret: SECRET }
    })
    await disk.write(1, 0, MIB)
    expect(await disk.holds(1, 0, MIB)).toBe(true)
    await disk.quit()
  })

  it('takes the secret from the environment, and shows it to nobody', async () => {
    await start(['--chap-user', 'pc', '--log-level', 'debug'], { environment: { CLOUDX_CHAP_SECRET: SECRET } })
    expect((await inquire(INITIATOR, `pc%${SECRET}`)).code).toBe(0)
    expect((await inquire(INITIATOR, 'pc%wrong secret')).code).not.toBe(0)
    await server!.stop()
    const said = server!.log.join('\n')
    expect(said).toMatch(/refused/)
    expect(said).not.toContain(SECRET)
    expect(said).not.toContain(Buffer.from(SECRET).toString('base64'))
    expect(said.toLowerCase()).not.toContain(Buffer.from(SECRET).toString('hex'))
  })

  it('leaves no secret in the arguments of the process', async () => {
    const args = ['--chap-user', 'pc', '--chap-secret-file', secretFile('secret.txt', SECRET)]
    const mutual = ['--chap-mutual-user', 'disk', '--chap-mutual-secret-file', secretFile('mutual.txt', MUTUAL_SECRET)]
    await start([...args, ...mutual])
    const line = readFileSync(`/proc/${server!.pid}/cmdline`, 'utf8')
    expect(line).toContain('secret.txt')
    expect(line).not.toContain(SECRET)
    expect(line).not.toContain(MUTUAL_SECRET)
  })

  it('proves the target to the initiator when both have a secret', async () => {
    const args = ['--chap-user', 'pc', '--chap-secret-file', secretFile('secret.txt', SECRET)]
    const mutual = ['--chap-mutual-user', 'disk', '--chap-mutual-secret-file', secretFile('mutual.txt', MUTUAL_SECRET)]
    await start([...args, ...mutual])
    const target = (secret: string) => ({
      LIBISCSI_CHAP_TARGET_USERNAME: 'disk',
      LIBISCSI_CHAP_TARGET_PASSWORD: secret
    })
    expect((await inquire(INITIATOR, `pc%${SECRET}`, target(MUTUAL_SECRET))).code).toBe(0)
    const impostor = await inquire(INITIATOR, `pc%${SECRET}`, target('not that secret'))
    expect(impostor.code).not.toBe(0)
    // An initiator that does not ask is not proved to.
    expect((await inquire(INITIATOR, `pc%${SECRET}`)).code).toBe(0)
  })

  it.each([
    ['MD5', '5', 'hex'],
    ['SHA-1', '6', 'base64'],
    ['SHA-256', '7', 'hex'],
    ['SHA3-256', '8', 'base64']
  ] as const)('proves both with %s', async (_name, algorithms, encoding) => {
    const args = ['--chap-user', 'pc', '--chap-mutual-user', 'disk']
    const environment = { CLOUDX_CHAP_SECRET: SECRET, CLOUDX_CHAP_MUTUAL_SECRET: MUTUAL_SECRET }
    await start(args, { environment })
    const chap = { name: 'pc', secret: SECRET, algorithms, encoding, mutual: { secret: MUTUAL_SECRET, name: 'disk' } }
    const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET, chap })
    await initiator.leave()
  })

  it('warns of a secret file that others can read', async () => {
    const file = join(work.path, 'secret.txt')
    writeFileSync(file, SECRET, { mode: 0o644 })
    await start(['--chap-user', 'pc', '--chap-secret-file', file])
    expect(await server!.logged(/WARN/)).toMatch(/secret\.txt can be read by other users .*chmod 600/)
  })

  it('does not let one user take the delta that another one left', async () => {
    const config = join(work.path, 'cloudx.yaml')
    const write = (user: string) =>
      writeFileSync(
        config,
        `target-name: ${TARGET}\nlun: ${image}\nchap-user: ${user}\nchap-secret-file: ${secretFile('s.txt', SECRET)}\n`
      )
    write('first')
    server = await ServerProcess.start(['--config', config])
    const options = { port: server.port, target: TARGET, initiatorName: INITIATOR }
    const disk = await QemuIo.open({ ...options, chap: { user: 'first', secret: SECRET } })
    await disk.write(5, 0, MIB)
    await disk.kill()
    await server.stop()
    write('second')
    server = await ServerProcess.start(['--config', config])
    expect((await inquire(INITIATOR, `second%${SECRET}`)).code).not.toBe(0)
    expect(await server.logged(/refused/)).toMatch(/\(0202h\).*made by another CHAP user/)
    expect((await inquire('iqn.2026-01.org.example:other', `second%${SECRET}`)).code).toBe(0)
  })
})

describeWith(['iscsi-ls'], 'discovery', () => {
  it('names the address that each client reached', async () => {
    await start([], { hosts: ['127.0.0.1', '127.0.0.2'] })
    for (const host of ['127.0.0.1', '127.0.0.2']) {
      const listed = await succeed('iscsi-ls', [`iscsi://${host}:${server!.port}`])
      expect(listed.trim()).toBe(`Target:${TARGET} Portal:${host}:${server!.port},1`)
    }
  })

  it('names it also when the server listens on every address', async () => {
    await start([], { hosts: ['0.0.0.0'] })
    const listed = await succeed('iscsi-ls', [`iscsi://127.0.0.3:${server!.port}`])
    expect(listed.trim()).toBe(`Target:${TARGET} Portal:127.0.0.3:${server!.port},1`)
  })

  it.each([
    ['192.0.2.7', (port: number) => `192.0.2.7:${port},1`],
    ['192.0.2.7:9999', () => '192.0.2.7:9999,1'],
    ['2001:db8::7', (port: number) => `[2001:db8::7]:${port},1`],
    ['disks.example.org', (port: number) => `disks.example.org:${port},1`]
  ])('names what --advertise %s says', async (advertise, expected) => {
    await start(['--advertise', advertise])
    const listed = await succeed('iscsi-ls', [`iscsi://127.0.0.1:${server!.port}`])
    expect(listed.trim()).toBe(`Target:${TARGET} Portal:${expected(server!.port)}`)
  })
})

describe('a server with a limit of sessions', () => {
  it('refuses the one too many with "out of resources", and takes the next after a logout', async () => {
    await start(['--max-sessions', '2'])
    const login = (name: string) =>
      ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })
    const [one, two] = [await login('one'), await login('two')]
    const three = await ScriptedInitiator.connect(server!.port)
    const { status } = await three.tryLogin({ targetName: TARGET, initiatorName: 'iqn.2026-01.org.example:three' })
    expect(status).toBe(0x0302)
    await one.leave()
    await server!.logged(/:one left/)
    const four = await login('four')
    await Promise.all([two.leave(), four.leave()])
  })
})
