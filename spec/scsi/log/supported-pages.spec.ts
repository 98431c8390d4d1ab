import { describe, expect, it } from '@jest/globals'
import type { LogPage } from '../../../lib/scsi/log/page.js'
import { supportedLogPages, supportedLogSubpages } from '../../../lib/scsi/log/supported-pages.js'
import { makeUnit } from '../../support/scsi.js'

describe('the lists of log pages', () => {
  const parameters = () => []
  const all: LogPage[] = [
    { code: 0x0c, subpage: 0, parameters },
    { code: 0x0d, subpage: 0, parameters, supported: () => false },
    { code: 0x0e, subpage: 1, parameters }
  ]

  it('name pages without subpage code, and all pages in pairs', () => {
    const bytes = (page: LogPage) => page.parameters(makeUnit()).map((one) => one.bytes.toString('hex'))
    expect(bytes(supportedLogPages(() => all))).toEqual(['0c'])
    expect(bytes(supportedLogSubpages(() => all))).toEqual(['0c000e01'])
  })
})
