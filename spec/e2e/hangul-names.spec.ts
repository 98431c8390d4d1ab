import { afterAll, beforeAll, expect, it, jest } from '@jest/globals'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { domainToASCII } from 'node:url'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

/**
 * Hangul in every name: of the folder, the image, the state directory, the target, the computers and a file of settings.
 * A Windows PC can put its computer name behind its prefix as it is, or as DNS has it (xn--…); macOS writes each syllable as
 * two or three characters (NFD). RFC 3722: names are compared in NFKC.
 */
jest.setTimeout(120_000)

const TARGET = 'iqn.2010-04.local.cloudx:회사-자료'
const WINDOWS = 'iqn.1991-05.com.microsoft:'
const KIM = `${WINDOWS}김철수-pc`
const KIM_OF_DNS = `${WINDOWS}${domainToASCII('김철수-pc')}`
const MIB = 2 ** 20

let work: ReturnType<typeof workDirectory>
let folder: string
let server: ServerProcess
beforeAll(async () => {
  work = workDirectory()
  folder = join(work.path, '공유 폴더')
  mkdirSync(folder)
  writeFileSync(join(folder, '회사 자료.img'), Buffer.alloc(8 * MIB, 1))
  const settings = ['lun: ./회사 자료.img', 'state-dir: ./상태', `allow: ['${WINDOWS}김*', '${KIM_OF_DNS}']`]
  writeFileSync(join(folder, '설정.yaml'), settings.join('\n'))
  server = await ServerProcess.start(['--config', join(folder, '설정.yaml')])
})
afterAll(async () => {
  await server.stop()
  work.remove()
})

const open = (initiatorName: string, target = TARGET) => QemuIo.open({ port: server.port, target, initiatorName })
const cloudx = (...args: string[]) =>
  succeed(process.execPath, [resolve('dist/cli/main.cjs'), ...args], {
    cwd: folder,
    environment: { NODE_OPTIONS: '', LC_ALL: 'ko_KR.UTF-8' }
  })

describeWith(['qemu-io', 'iscsi-ls'], 'Hangul names', () => {
  it('are found by discovery as bytes of UTF-8', async () => {
    const printed = await succeed('iscsi-ls', ['-i', KIM, `iscsi://127.0.0.1:${server.port}`])
    expect(printed).toContain(`Target:${TARGET} `)
  })

  it('are one client however its syllables are written, and another one as DNS writes it', async () => {
    // By Python's codec "idna".
    expect(KIM_OF_DNS).toBe('iqn.1991-05.com.microsoft:xn---pc-pi9ly70ff7n')
    const first = await open(KIM)
    await first.write(7, MIB, MIB)
    await first.kill()
    const again = await open(KIM.normalize('NFD'), TARGET.normalize('NFD'))
    expect(await again.holds(7, MIB, MIB)).toBe(true)
    const other = await open(KIM_OF_DNS)
    expect(await other.holds(1, MIB, MIB)).toBe(true)
    await other.quit()
    expect(await cloudx('sessions', '--state-dir', '상태')).toContain('김철수-pc')
    await again.quit()
  })

  it('are what --allow compares', async () => {
    const stranger = ['driver=iscsi', 'transport=tcp', `portal=127.0.0.1:${server.port}`, `target=${TARGET}`, 'lun=0']
    const { code, output } = await run('qemu-io', [
      ...['--image-opts', [...stranger, `initiator-name=${WINDOWS}이영희-pc`].join(',')],
      ...['-c', 'read 0 4k']
    ])
    expect(code).not.toBe(0)
    expect(output).toMatch(/Failed to log|authorization|permission/i)
    await server.logged(/이영희-pc/)
  })

  it('are taken by the commands, too', async () => {
    const client = await open(KIM)
    await client.write(9, 2 * MIB, MIB)
    await client.quit()
    expect(await cloudx('delta', 'list', '--state-dir', '상태')).toContain('김철수-pc')
    await cloudx('delta', 'undo', KIM.normalize('NFD'), '--state-dir', join(folder, '상태'))
    const again = await open(KIM)
    expect(await again.holds(9, 2 * MIB, MIB)).toBe(true)
    await again.quit()
    expect(readFileSync(join(folder, '회사 자료.img')).equals(Buffer.alloc(8 * MIB, 1))).toBe(true)
  })
})
