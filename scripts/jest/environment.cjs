/** Jest's environment of a spec file: the process itself (see runtime.cjs). */
module.exports = class Environment {
  global = globalThis

  getVmContext() {
    return null
  }

  async setup() {}
  async teardown() {}
}
