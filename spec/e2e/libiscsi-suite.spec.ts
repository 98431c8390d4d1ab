import { afterAll, beforeAll, expect, it, jest } from '@jest/globals'
import { join } from 'node:path'
import { listTests, runSuite, tableOf, type SuiteResult } from '../support/libiscsi-suite.js'
import { describeWith } from '../support/programs.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(900_000)

const TARGET = 'iqn.2026-01.org.example:suite'

/** Tests of libiscsi that cannot pass on this disk, each with the reason. */
const EXCUSED: Readonly<Record<string, string>> = {
  'ALL.iSCSITMF.AbortTaskSimpleAsync': "asserts the length of libiscsi's own send queue, which a fast target empties",
  'ALL.iSCSITMF.LUNResetSimpleAsync': "asserts the length of libiscsi's own send queue, which a fast target empties",
  'ALL.GetLBAStatus.UnmapSingle':
    'asks for LBA i + 1 and wants an answer for i + 8 when a physical block has 8 logical ones; passes with 4096-byte blocks'
}

/** Why tests may skip themselves. Everything else is a feature that we say we have and the suite does not find. */
const SKIPS = [
  /allow-sanitize/,
  /not removable/,
  /Multipath unavailable/,
  /LUN too small/,
  /not write-protected/,
  // WSNZ=1 on a thin disk. A thick one takes them.
  /WRITESAME1[06] does not support 0-blocks/
]

describeWith(['iscsi-test-cu'], "libiscsi's test suite, each test by itself", () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess
  let results: SuiteResult[]

  beforeAll(async () => {
    work = workDirectory()
    const image = join(work.path, 'suite.img')
    server = await ServerProcess.start(['--lun', image, '--size', '1G', '--blank', '--target-name', TARGET])
    results = await runSuite(await listTests(), server.url(TARGET))
  })
  afterAll(async () => {
    await server.kill()
    work.remove()
  })

  it('finds a suite worth its name', () => {
    expect(results.length).toBeGreaterThan(200)
  })

  it('has no test that fails or hangs without a written reason', () => {
    const bad = results.filter(({ test, verdict }) => verdict === 'hung' || (verdict === 'failed' && !EXCUSED[test]))
    expect(tableOf(bad)).toBe('0 passed, 0 failed, 0 skipped, 0 hung')
  })

  it('has no test that skips itself for a feature that the disk should have', () => {
    const odd = results.filter(
      ({ verdict, reason }) => verdict === 'skipped' && !SKIPS.some((pattern) => pattern.test(reason))
    )
    expect(tableOf(odd)).toBe('0 passed, 0 failed, 0 skipped, 0 hung')
  })

  it('passes with 4096-byte blocks what it cannot pass with 512-byte ones', async () => {
    const image = join(work.path, 'suite-4kn.img')
    const other = await ServerProcess.start([
      ...['--lun', image, '--size', '1G', '--blank', '--block-size', '4096', '--target-name', TARGET]
    ])
    try {
      const only = await runSuite(
        ['ALL.GetLBAStatus.UnmapSingle', 'ALL.Read10.Simple', 'ALL.Unmap.Simple'],
        other.url(TARGET)
      )
      expect(only.map(({ verdict }) => verdict)).toEqual(['passed', 'passed', 'passed'])
    } finally {
      await other.kill()
    }
  })
})
