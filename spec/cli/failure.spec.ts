import { describe, expect, it } from '@jest/globals'
import { sentencesOf } from '../../lib/cli/failure.js'
import { ConfigError } from '../../lib/target/config.js'
import { assert } from '../../lib/util/assert.js'
import { IscsiError } from '../../lib/util/errors.js'

const system = (fields: object) => Object.assign(new Error('raw words of the system'), fields)

describe('sentencesOf', () => {
  it.each<[string, unknown, string[]]>([
    [
      'a taken port',
      system({ code: 'EADDRINUSE', address: '0.0.0.0', port: 3260 }),
      ['Port 3260 of 0.0.0.0 is taken by another program; stop that one or choose another port with --port.']
    ],
    [
      'a foreign address',
      system({ code: 'EADDRNOTAVAIL', address: '192.0.2.1', port: 3260 }),
      ['192.0.2.1 is no address of this PC; choose one of its own with --host.']
    ],
    [
      'a reserved port',
      system({ code: 'EACCES', address: '::', port: 80 }),
      ['No permission to listen on port 80 of ::.']
    ],
    ['a forbidden file', system({ code: 'EACCES', path: '/images/a.img' }), ['No permission to use /images/a.img.']],
    ['a missing folder', system({ code: 'ENOENT', path: '/images/a.img' }), ['/images/a.img does not exist.']],
    [
      'an unknown host',
      system({ code: 'ENOTFOUND', hostname: 'nas' }),
      ['The host name nas is not known; choose an address of this PC with --host.']
    ],
    ['an error without details', system({ code: 'ENOSPC' }), ['There is no space left for a file.']],
    [
      'an error of ours, even with a code of the system',
      new IscsiError('EBUSY', 'The image is mounted.'),
      ['The image is mounted.']
    ],
    ['all problems of a configuration', new ConfigError(['a: one', 'b: two']), ['a: one', 'b: two']],
    ['words of several lines', new Error('one\n  two'), ['one two']],
    ['what is no error', 'text', ['text']]
  ])('tells %s', (_title, error, sentences) => expect(sentencesOf(error)).toEqual(sentences))

  it('owns up to a mistake of ours', () => {
    try {
      assert(false, 'a slot is mapped twice')
    } catch (error) {
      expect(sentencesOf(error)).toEqual(['This is a mistake in Cloud-x itself: a slot is mapped twice.'])
    }
  })
})
