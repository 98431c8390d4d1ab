import { describe, expect, it } from '@jest/globals'
import { supportedPages } from '../../../lib/scsi/vpd/supported-pages.js'
import type { VpdPage } from '../../../lib/scsi/vpd/page.js'
import { makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page 00h', () => {
  it('lists the codes of all pages, its own first', () => {
    const all: VpdPage[] = []
    all.push(
      supportedPages(() => all),
      { code: 0x83, build: () => Buffer.alloc(0) }
    )
    expect(all[0]!.build(makeUnit(), makeNexus([])).toString('hex')).toBe('0083')
  })
})
