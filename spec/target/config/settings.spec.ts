import { describe, expect, it } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { isSettingKey, SETTING_KEYS, settingOf, UNIT_COUNT_MAX } from '../../../lib/target/config/settings.js'

describe('SETTINGS', () => {
  it.each(SETTING_KEYS.filter((key) => settingOf(key).preset !== undefined))('%s can read its own preset', (key) => {
    const { kind, preset } = settingOf(key)
    expect(kind.parse(preset!)).toBeDefined()
  })

  it.each(SETTING_KEYS)('%s is written like an option and tells what it does', (key) => {
    const { about, kind } = settingOf(key)
    expect(key).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/)
    expect(about).toMatch(/^[A-Z]/)
    expect(kind.expects).not.toBe('')
  })

  it('knows no key that every object has', () => {
    expect(['constructor', '__proto__', 'toString'].map(isSettingKey)).toEqual([false, false, false])
  })

  it('has a number for each LUN of the peripheral method', () => expect(UNIT_COUNT_MAX).toBe(256))
})

describe('docs/configuration.md', () => {
  const page = readFileSync('docs/configuration.md', 'utf8')

  it.each(SETTING_KEYS)('has a row for %s with its preset', (key) => {
    const cells =
      page
        .split('\n')
        .find((line) => line.startsWith(`| \`${key}\` `))
        ?.split(/(?<!\\)\|/) ?? []
    expect(cells[3]?.trim()).toBe(settingOf(key).preset ?? '')
  })
})
