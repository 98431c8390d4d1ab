// CommonJS, because a module is loaded through the thread pool, which has its size for good then (see lib/cli/main.cts).
process.env.UV_THREADPOOL_SIZE ??= '32'
void import('./start.mjs')
