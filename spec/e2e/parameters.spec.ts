import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { runSuite } from '../support/libiscsi-suite.js'
import { LIBISCSI, OPEN_ISCSI, WINDOWS } from '../support/login-presets.js'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { read10, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let server: ServerProcess | undefined
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, new Random(20260107).bytes(Buffer.alloc(8 * MIB)))
  original = await sha256(image)
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args]))

/** Samples of libiscsi's suite that move data in every way that the parameters change. */
const SAMPLES = [
  'ALL.Read10.Simple',
  'ALL.Write10.Simple',
  'ALL.WriteVerify10.Simple',
  'ALL.CompareAndWrite.Simple',
  'ALL.iSCSIResiduals.Write10Residuals',
  'ALL.iSCSIdatasn.iSCSIDataSnInvalid',
  'ALL.iSCSIcmdsn.iSCSICmdSnTooHigh'
]

const COMBINATIONS: readonly (readonly [string, readonly string[], Record<string, string>])[] = [
  ['InitialR2T=No, ImmediateData=Yes', [], { InitialR2T: 'No', ImmediateData: 'Yes' }],
  ['InitialR2T=Yes, ImmediateData=Yes', ['--initial-r2t'], { InitialR2T: 'Yes', ImmediateData: 'Yes' }],
  ['InitialR2T=No, ImmediateData=No', ['--no-immediate-data'], { InitialR2T: 'No', ImmediateData: 'No' }],
  [
    'InitialR2T=Yes, ImmediateData=No',
    ['--initial-r2t=true', '--immediate-data=false'],
    { InitialR2T: 'Yes', ImmediateData: 'No' }
  ],
  ['segments of 512 bytes', ['--packet-size', '512'], { MaxRecvDataSegmentLength: '512' }],
  ['segments of 1 MiB', ['--packet-size', '1M'], { MaxRecvDataSegmentLength: String(MIB) }],
  [
    'segments of 512 bytes, each asked for',
    ['--packet-size', '512', '--initial-r2t', '--no-immediate-data'],
    { MaxRecvDataSegmentLength: '512', InitialR2T: 'Yes', ImmediateData: 'No' }
  ]
]

describeWith(['qemu-io', 'qemu-img', 'iscsi-test-cu'], 'a server that negotiates', () => {
  it.each(COMBINATIONS)('%s moves the right bytes', async (_title, args, expected) => {
    await start(...args)
    const scripted = await ScriptedInitiator.login(server!.port, { targetName: TARGET, preset: LIBISCSI })
    expect(Object.fromEntries(scripted.answers)).toMatchObject(expected)
    await scripted.leave()

    const disk = await QemuIo.open({ port: server!.port, target: TARGET, initiatorName: PC })
    for (const [index, [offset, length]] of RANGES.entries()) {
      await disk.write(index + 1, offset, length)
      expect(await disk.holds(index + 1, offset, length)).toBe(true)
    }
    await disk.quit()
    const copy = join(work.path, 'copy.img')
    await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), copy])
    expect(await sha256(copy)).toBe(original)

    const results = await runSuite(SAMPLES, server!.url(TARGET))
    expect(results.filter(({ verdict }) => verdict !== 'passed')).toEqual([])
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })
})

/** Around the lengths of a segment, a burst and a chunk. */
const RANGES: readonly (readonly [offset: number, length: number])[] = [
  [0, 512],
  [512, 7 * 512],
  [MIB - 512, 1024],
  [MIB, 65536],
  [2 * MIB + 512, 65536 + 512],
  [3 * MIB, 262144],
  [4 * MIB - 512, 262144 + 1024],
  [5 * MIB, 600 * 1024]
]

describeWith(['qemu-io'], 'header digests of QEMU', () => {
  it('are agreed on and checked, and the bytes are right', async () => {
    await start()
    const disk = await QemuIo.open({ port: server!.port, target: TARGET, initiatorName: PC, headerDigest: true })
    for (const [index, [offset, length]] of RANGES.entries()) {
      await disk.write(index + 1, offset, length)
      expect(await disk.holds(index + 1, offset, length)).toBe(true)
    }
    await disk.quit()
    expect(await server!.stop()).toBe(0)
  })
})

describe('digests', () => {
  const combinations = ['None', 'CRC32C'].flatMap((header) => ['None', 'CRC32C'].map((data) => [header, data] as const))
  it.each(combinations)('HeaderDigest=%s with DataDigest=%s are right on every PDU', async (header, data) => {
    await start()
    for (const preset of [WINDOWS, OPEN_ISCSI]) {
      const override = { HeaderDigest: header, DataDigest: data }
      const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET, preset, override })
      expect(initiator.answer('HeaderDigest')).toBe(header)
      expect(initiator.answer('DataDigest')).toBe(data)
      await initiator.command([0, 0, 0, 0, 0, 0])
      const bytes = new Random(7).bytes(Buffer.alloc(600 * 512))
      expect((await initiator.command(write10(100, 600), { write: bytes })).status).toBe(0)
      expect((await initiator.command(read10(100, 600), { read: bytes.length })).data.equals(bytes)).toBe(true)
      await initiator.leave()
    }
  })
})

describeWith(['iscsi-perf'], 'iscsi-perf', () => {
  it.each([
    ['4 KiB in a row', ['-b', '8', '-m', '32']],
    ['4 KiB anywhere', ['-b', '8', '-m', '32', '-r']],
    ['256 KiB in a row', ['-b', '512', '-m', '8']]
  ])('reads %s without an error', async (_title, args) => {
    await start()
    const { output } = await run('iscsi-perf', ['-t', '1', '-i', PC, ...args, server!.url(TARGET)])
    expect(output).toMatch(/iops average|finished/i)
    expect(output).not.toMatch(/error|failed/i)
    expect(await server!.logged(/left/)).toMatch(/read \d/)
  })
})
