import { jest } from '@jest/globals'

/**
 * How long a test may take before it counts as hung. No behaviour is judged by time: a busy machine may be ten times
 * slower than an idle one, and a spec that waits for what never comes still ends.
 */
jest.setTimeout(60_000)
