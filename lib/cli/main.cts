#!/usr/bin/env node
/**
 * The program. This file is CommonJS because a module is loaded through libuv's thread pool, which then has its size
 * for good; here nothing has been loaded yet. Thirty-two threads, of which no client's reads have more than half
 * (lib/volume/pool-share.ts): so those whose disk does not answer leave some to the others. A disk that is given 16 cold
 * reads at a time answers 1.25 times as many as with 8; more threads make the others wait.
 */
process.env.UV_THREADPOOL_SIZE ??= '32'

/** A handle that something forgot must not keep a finished program alive. */
const EXIT_MS_MAX = 2000

void import('./index.js').then(async ({ main }) => {
  process.exitCode = await main(process.argv.slice(2))
  setTimeout(() => process.exit(), EXIT_MS_MAX).unref()
})
