// One project a suite, so that `npm run check` can run the fast ones alone.
const shared = {
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': '<rootDir>/scripts/jest-transform.mjs' },
  // Specs import what they use, and 200 contexts need not be furnished.
  injectGlobals: false,
  testEnvironment: '<rootDir>/scripts/jest-environment.mjs'
}
export default {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/spec/**/*.spec.ts'],
      testPathIgnorePatterns: ['/spec/e2e/'],
      setupFilesAfterEnv: ['<rootDir>/spec/support/time-limit.ts']
    },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/spec/e2e/**/*.spec.ts'] }
  ]
}
