// One project a suite, so that `npm run check` can run the fast ones alone.
const shared = {
  runtime: '<rootDir>/scripts/jest/runtime.cjs',
  testEnvironment: '<rootDir>/scripts/jest/environment.cjs',
  transform: {},
  injectGlobals: false
}
export default {
  // How long a test may take before it counts as hung. No behaviour is judged by time: a busy machine may be ten times
  // slower than an idle one, and a spec that waits for what never comes still ends.
  testTimeout: 60_000,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/spec/**/*.spec.ts'],
      testPathIgnorePatterns: ['/spec/e2e/']
    },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/spec/e2e/**/*.spec.ts'] }
  ]
}
