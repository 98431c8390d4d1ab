/** `npm run bench`: builds the server and the benches, then hands over to scripts/bench/main.ts. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { prepare, ROOT } from './prepare.mjs'

prepare()
const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.bench.json')], {
  stdio: ['ignore', 2, 2]
})
if (status !== 0) process.exit(1)
const { main } = await import('../.cache/bench/scripts/bench/main.js')
try {
  process.exitCode = await main(ROOT, process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
