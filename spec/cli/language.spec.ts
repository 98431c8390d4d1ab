import { describe, expect, it } from '@jest/globals'
import { textFor, type Language } from '../../lib/cli/language.js'
import { en } from '../../lib/cli/text/en.js'
import { ko } from '../../lib/cli/text/ko.js'

type Row = [NodeJS.Platform, Record<string, string>, string, Language]

describe('textFor', () => {
  it.each<Row>([
    ['linux', { LANG: 'ko_KR.UTF-8' }, 'ko-KR', 'ko'],
    ['linux', { LANG: 'ko' }, 'en-US', 'ko'],
    ['linux', { LANG: 'ko_KR.utf8@hanja' }, 'en-US', 'ko'],
    ['linux', { LANG: 'en_US.UTF-8', LC_ALL: 'ko_KR.UTF-8' }, 'en-US', 'ko'],
    ['linux', { LANG: 'en_US.UTF-8', LC_MESSAGES: 'ko_KR.UTF-8' }, 'en-US', 'ko'],
    ['linux', { LANG: 'ko_KR.UTF-8', LC_MESSAGES: 'en_US.UTF-8' }, 'ko-KR', 'en'],
    ['linux', { LANG: 'ko_KR.UTF-8', LC_ALL: 'C' }, 'ko-KR', 'en'],
    ['linux', { LANG: 'ko_KR.eucKR' }, 'ko-KR', 'en'],
    ['linux', { LANG: 'kok_IN.UTF-8' }, 'en-US', 'en'],
    ['linux', {}, 'ko-KR', 'en'],
    ['darwin', { LANG: 'ko_KR.UTF-8' }, 'ko-KR', 'ko'],
    ['win32', {}, 'ko-KR', 'ko'],
    ['win32', {}, 'ko', 'ko'],
    ['win32', {}, 'en-US', 'en'],
    ['win32', {}, 'kok-IN', 'en'],
    ['win32', { LANG: 'en_US.UTF-8' }, 'ko-KR', 'en']
  ])('on %s with %j and the locale %s speaks %s', (platform, environment, locale, language) => {
    expect(textFor({ chosen: undefined, environment, platform, locale })).toBe({ en, ko }[language])
  })

  it('takes the language that was chosen', () => {
    const system = { environment: { LANG: 'en_US.UTF-8' }, platform: 'linux', locale: 'en-US' } as const
    expect(textFor({ ...system, chosen: 'ko' })).toBe(ko)
  })
})
