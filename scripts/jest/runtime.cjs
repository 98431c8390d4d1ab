/**
 * Jest's runtime of a spec file: Node's own modules, loaded once for all the files of a process. The runtime that comes
 * with jest makes a world of its own for each file and evaluates every module in it again, which took half of the time of
 * all unit specs. So module state is shared between spec files of a process, as it is in the product, and mocks of whole
 * modules, coverage and resets of modules don't exist here.
 */
const { register } = require('node:module')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { fileURLToPath, pathToFileURL } = require('node:url')
const { ModernFakeTimers } = require('@jest/fake-timers')
const { getState, resetState } = require('jest-circus')
const { ModuleMocker } = require('jest-mock')

const GLOBALS = Symbol.for('cloudx.jest.globals')
/** Names that the runner gives to its state in the global object. */
const STATE = 'JEST_STATE_SYMBOL'
const EVENT_HANDLERS = Symbol.for('EVENT_HANDLERS')
const TEST_TIMEOUT = Symbol.for('TEST_TIMEOUT_SYMBOL')

/**
 * Maps of the files that appear in stacks of errors, made when the first error asks: the runner wants each as a file.
 */
class SourceMaps extends Map {
  #folder

  get(place) {
    if (!/\.ts(\?|$)/.test(place)) return undefined
    const path = place.startsWith('file:') ? fileURLToPath(place) : place.replace(/\?.*$/, '')
    if (!super.has(path)) this.set(path, this.#written(path))
    return super.get(path)
  }

  #written(path) {
    const { typeless } = require('./typeless.mjs')
    if (this.#folder === undefined) {
      this.#folder = mkdtempSync(join(tmpdir(), 'cloudx-maps-'))
      process.once('exit', () => rmSync(this.#folder, { recursive: true, force: true }))
    }
    const file = join(this.#folder, `${this.size}.map`)
    const { map } = typeless(path, readFileSync(path, 'utf8'))
    writeFileSync(file, JSON.stringify({ ...map, sources: [path] }))
    return file
  }
}

const sourceMaps = new SourceMaps()
let filesBegun = 0
let ownHandlers = 0

module.exports = class Runtime {
  #config

  constructor(config) {
    if (filesBegun++ === 0) register('./hooks.mjs', pathToFileURL(__filename))
    this.#config = config
    forgetLastFile()
  }

  /** The functions of a spec; they find the tests of the present file by the state that they share. */
  setGlobalsForRuntime(globals) {
    globalThis[GLOBALS] ??= { ...globals, jest: jestObject(this.#config) }
  }

  requireInternalModule(path) {
    return require(path)
  }

  requireModule(path) {
    return require(path)
  }

  unstable_shouldLoadAsEsm() {
    return true
  }

  /** A file that runs again in this process, as in watch mode, is another module to Node. */
  unstable_importModule(path) {
    return import(`${pathToFileURL(path).href}?${filesBegun}`)
  }

  getSourceMaps() {
    return sourceMaps
  }

  teardown() {}
  enterTestCode() {}
  leaveTestCode() {}
  getAllCoverageInfoCopy() {}
}

/** Undoes what the file before has left in the runner's state, which outlives it in this process. */
function forgetLastFile() {
  resetState()
  // Two copies of the runner live here, ours and the one that jest loads; each knows its state by a symbol of its own.
  for (const symbol of Object.getOwnPropertySymbols(globalThis)) {
    if (symbol.description === STATE) globalThis[symbol] = getState()
  }
  delete globalThis[TEST_TIMEOUT]
  const handlers = globalThis[EVENT_HANDLERS]
  if (ownHandlers === 0) ownHandlers = handlers.length
  handlers.length = ownHandlers
}

/** The parts of jest's `jest` object that make sense without a world of one's own. */
function jestObject(config) {
  const mocker = new ModuleMocker(globalThis)
  const timers = new ModernFakeTimers({ config, global: globalThis })
  return {
    advanceTimersByTime: (milliseconds) => timers.advanceTimersByTime(milliseconds),
    fn: (implementation) => mocker.fn(implementation),
    restoreAllMocks: () => mocker.restoreAllMocks(),
    setTimeout: (milliseconds) => void (globalThis[TEST_TIMEOUT] = milliseconds),
    spyOn: (object, name, access) => mocker.spyOn(object, name, access),
    useFakeTimers: (options) => timers.useFakeTimers(options),
    useRealTimers: () => timers.useRealTimers()
  }
}
