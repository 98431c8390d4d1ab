import { describe, expect, it } from '@jest/globals'
import { isKept, policyOf, type InitiatorRule } from '../../lib/target/policy.js'

const OWNER = 'iqn.2025-01.org.example:owner'
const PC = 'iqn.2025-01.org.example:pc-7'

describe('policyOf', () => {
  it.each<[string, InitiatorRule[], string, string]>([
    ['restore without a rule', [], PC, 'restore'],
    ['what the rule of its name says', [{ match: OWNER, policy: 'author' }], OWNER, 'author'],
    ['restore when only others are named', [{ match: OWNER, policy: 'author' }], PC, 'restore'],
    ['nothing of a name that goes on', [{ match: OWNER, policy: 'author' }], `${OWNER}2`, 'restore'],
    ['what a pattern says', [{ match: 'iqn.2025-01.org.example:pc-*', policy: 'author' }], PC, 'author'],
    ['what the pattern for all says', [{ match: '*', policy: 'author' }], PC, 'author'],
    [
      'what the first rule that fits says',
      [
        { match: PC, policy: 'restore' },
        { match: '*', policy: 'author' }
      ],
      PC,
      'restore'
    ]
  ])('is %s', (_title, rules, name, policy) => {
    expect(policyOf(rules, name)).toBe(policy)
  })
})

describe('isKept', () => {
  it('keeps what an author wrote beyond its logout, and nothing of others', () => {
    expect(isKept('author')).toBe(true)
    expect(isKept('restore')).toBe(false)
  })
})
