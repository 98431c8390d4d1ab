import { describe, expect, it } from '@jest/globals'
import { codeOf, IscsiError, messageOf } from '../../lib/util/errors.js'

class DerivedError extends IscsiError {}

describe('IscsiError', () => {
  it('carries a code, a sentence, the name of its class and its cause', () => {
    const cause = new Error('disk on fire')
    const error = new DerivedError('ERR_ISCSI_LOCKED', 'The image is in use.', { cause })
    expect(error).toBeInstanceOf(IscsiError)
    expect(error).toMatchObject({ code: 'ERR_ISCSI_LOCKED', message: 'The image is in use.', name: 'DerivedError' })
    expect(error.cause).toBe(cause)
  })
})

describe('codeOf', () => {
  it('is the code of an error', () => expect(codeOf(new IscsiError('ENOSPC', 'full'))).toBe('ENOSPC'))
  it.each([new Error('plain'), Object.assign(new Error(), { code: 5 }), { code: 'ENOENT' }, 'text', null, undefined])(
    'is EUNKNOWN for %p',
    (thrown) => expect(codeOf(thrown)).toBe('EUNKNOWN')
  )
})

describe('messageOf', () => {
  it('is the sentence of an error, without its stack', () => expect(messageOf(new Error('no'))).toBe('no'))
  it.each([
    ['text', 'text'],
    [null, 'null'],
    [7, '7']
  ])('is the text of %j', (thrown, message) => expect(messageOf(thrown)).toBe(message))
})
