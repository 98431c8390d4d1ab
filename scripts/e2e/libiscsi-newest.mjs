/**
 * Builds iscsi-test-cu from a checkout of libiscsi, which may be newer than what the system has. The checkout is the
 * user's; it is copied and not touched, and nothing is downloaded. Prints the path of the program.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const HELP = `libiscsi-newest --source CHECKOUT [--out FOLDER]

  --source CHECKOUT   a checkout of libiscsi; default $LIBISCSI_SOURCE
  --out FOLDER        where it is built; default .cache/libiscsi

It needs cc, make, autoconf, automake, libtool, pkg-config and libcunit1-dev. Then:
  scripts/e2e/libiscsi-suite --program "$(scripts/e2e/libiscsi-newest --source CHECKOUT)"
`

const { values } = parseArgs({
  options: {
    source: { type: 'string', default: process.env.LIBISCSI_SOURCE },
    out: { type: 'string', default: '.cache/libiscsi' },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) process.stdout.write(HELP)
else if (!values.source || !existsSync(join(values.source, 'test-tool/iscsi-test-cu.c'))) {
  process.stderr.write(`--source must name a checkout of libiscsi\n\n${HELP}`)
  process.exitCode = 2
} else build(resolve(values.source), resolve(values.out))

/** The suite is only built where libiscsi is built as a shared library; its own wrapper script would be in the way. */
/**
 * @param {string} source
 * @param {string} out
 */
function build(source, out) {
  mkdirSync(out, { recursive: true })
  cpSync(source, out, { recursive: true, filter: (path) => !path.endsWith('/.git') })
  const left = ['--disable-static', '--disable-tests', '--disable-examples', '--disable-manpages', '--disable-werror']
  /** @type {[string, string[]][]} */
  const steps = [
    ['./autogen.sh', []],
    ['./configure', left],
    ['make', ['-C', 'lib']],
    ['make', ['-C', 'test-tool']]
  ]
  for (const [program, args] of steps) {
    const { status, error, stdout, stderr } = spawnSync(program, args, {
      cwd: out,
      encoding: 'utf8',
      maxBuffer: 2 ** 26
    })
    if (status === 0) continue
    process.stderr.write(`${program} failed: ${error?.message ?? ''}\n${stdout ?? ''}${stderr ?? ''}`)
    process.exitCode = 1
    return
  }
  process.stdout.write(`${join(out, 'test-tool/iscsi-test-cu')}\n`)
}
