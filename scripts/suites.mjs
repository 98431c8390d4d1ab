/**
 * Suites that are programs of their own and no jest project, in the order in which they run. Each ends with a line
 * `N passed, N failed`. `needs` names what must be installed (a row of programs.json each); `soak` is the command line of
 * the full campaign, of which `args` is the share that a test run can afford.
 *
 * @type {{ title: string, file: string, args: string[], soak?: string[], needs: string[] }[]}
 */
export const SUITES = [
  {
    title: 'fuzzing',
    file: 'scripts/fuzz.mjs',
    args: ['--seed', '1', '--seconds', '60'],
    soak: ['--pdus', '10m', '--report', 'docs/conformance/fuzz.json'],
    needs: []
  },
  {
    title: 'libiscsi, disks of all kinds',
    file: 'scripts/e2e/libiscsi-suite.mjs',
    args: ['--special'],
    soak: [],
    needs: ['iscsi-test-cu']
  }
]

/** What makes every server of an end-to-end spec spread its clients over two processes. */
export const TWO_WORKERS = { CLOUDX_WORKERS: '2' }

/** The end-to-end specs that a test run repeats so; a soak repeats all of them. */
export const WORKER_SPECS = ['private-views', 'push', 'kill'].map((name) => `spec/e2e/${name}.spec.ts`)
