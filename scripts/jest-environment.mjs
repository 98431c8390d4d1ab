/**
 * Jest's environment of a spec file, made to leave nothing behind. The runner follows each test through its promises
 * with an AsyncLocalStorage of its own for each file and never ends it; Node 20 then walks all of them at the birth of
 * each promise, so that the 200th file of a process ran many times slower than the first.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { TestEnvironment } from 'jest-environment-node'

const begun = new Set()
const run = AsyncLocalStorage.prototype.run

AsyncLocalStorage.prototype.run = function (...args) {
  begun.add(this)
  return run.apply(this, args)
}

export default class extends TestEnvironment {
  async teardown() {
    await super.teardown()
    for (const storage of begun) storage.disable()
    begun.clear()
  }
}
