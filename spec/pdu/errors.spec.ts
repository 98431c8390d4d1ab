import { describe, expect, it } from '@jest/globals'
import { RejectReason } from '../../lib/pdu/codes.js'
import { PduError } from '../../lib/pdu/errors.js'
import { IscsiError } from '../../lib/util/errors.js'

describe('PduError', () => {
  it('is an IscsiError that carries the reason of the Reject', () => {
    const error = new PduError('ERR_ISCSI_AHS', RejectReason.InvalidPduField, 'too short')
    expect(error).toBeInstanceOf(IscsiError)
    expect(error).toMatchObject({ name: 'PduError', code: 'ERR_ISCSI_AHS', reason: 0x09, message: 'too short' })
  })
})
