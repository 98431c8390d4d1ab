/** What a spec imports as `@jest/globals`: the functions of the runner that this process belongs to. */
const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test } =
  globalThis[Symbol.for('cloudx.jest.globals')]

export { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test }
