import { describe, expect, it } from '@jest/globals'
import { formatRule, keepingOf, policyOf, type InitiatorRule, type UnitPolicy } from '../../lib/target/policy.js'

const OWNER = 'iqn.2025-01.org.example:owner'
const PC = 'iqn.2025-01.org.example:pc-7'
const PATTERN = 'iqn.2025-01.org.example:pc-*'

describe('policyOf', () => {
  it.each<[string, InitiatorRule[], string, string]>([
    ['restore without a rule', [], PC, 'restore'],
    ['what the rule of its name says', [{ match: OWNER, policy: 'author' }], OWNER, 'author'],
    ['restore when only others are named', [{ match: OWNER, policy: 'author' }], PC, 'restore'],
    ['nothing of a name that goes on', [{ match: OWNER, policy: 'author' }], `${OWNER}2`, 'restore'],
    ['what a pattern says', [{ match: PATTERN, policy: 'keep' }], PC, 'keep'],
    ['what the pattern for all says', [{ match: '*', policy: 'read-only' }], PC, 'read-only'],
    ['not what holds for one LUN alone', [{ match: '*', policy: 'keep', lun: 1 }], PC, 'restore'],
    [
      'what the next rule says when the first says nothing of it',
      [
        { match: PC, restoreOn: 'boot' },
        { match: '*', policy: 'keep' }
      ],
      PC,
      'keep'
    ],
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

describe('keepingOf', () => {
  const unit = (changes: Partial<UnitPolicy> = {}): UnitPolicy => ({
    lun: 0,
    personal: false,
    restoreOn: 'logout',
    ...changes
  })

  it.each<[string, InitiatorRule[], UnitPolicy, string]>([
    ['logout without a rule', [], unit(), 'logout'],
    ['what the unit says without a rule', [], unit({ restoreOn: 'boot' }), 'boot'],
    [
      'what the rule says, before the unit',
      [{ match: PATTERN, restoreOn: 'manual' }],
      unit({ restoreOn: 'boot' }),
      'manual'
    ],
    ['kept for the policy keep', [{ match: PC, policy: 'keep' }], unit({ restoreOn: 'boot' }), 'kept'],
    [
      'author for an author, whatever restore-on says',
      [{ match: PC, policy: 'author', restoreOn: 'boot' }],
      unit(),
      'author'
    ],
    [
      'that of restore for what is read-only',
      [{ match: PC, policy: 'read-only' }],
      unit({ restoreOn: 'boot' }),
      'boot'
    ],
    ['kept for a personal disk', [], unit({ personal: true }), 'kept'],
    [
      'kept for a personal disk, though the rule says restore',
      [{ match: PC, policy: 'restore' }],
      unit({ personal: true }),
      'kept'
    ],
    ['kept for a personal disk of an author', [{ match: PC, policy: 'author' }], unit({ personal: true }), 'kept'],
    ['what the rule of its LUN says', [{ match: PC, lun: 0, policy: 'keep' }], unit(), 'kept'],
    ['not what the rule of another LUN says', [{ match: PC, lun: 1, policy: 'keep' }], unit(), 'logout'],
    [
      'of two rules the first',
      [
        { match: PC, restoreOn: 'manual' },
        { match: PC, restoreOn: 'boot' }
      ],
      unit(),
      'manual'
    ]
  ])('is %s', (_title, rules, of, keeping) => {
    expect(keepingOf(rules, PC, of)).toBe(keeping)
  })
})

describe('formatRule', () => {
  it.each<[InitiatorRule, string]>([
    [{ match: PC, policy: 'keep' }, `${PC}=keep`],
    [{ match: '*', restoreOn: 'boot' }, '*=restore-on=boot'],
    [{ match: PATTERN, policy: 'restore', restoreOn: 'manual', lun: 3 }, `${PATTERN}=restore,restore-on=manual,lun=3`]
  ])('writes a rule as the option has it', (rule, text) => {
    expect(formatRule(rule)).toBe(text)
  })
})
