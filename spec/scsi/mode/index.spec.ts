import { describe, expect, it } from '@jest/globals'
import { DEFAULT_MODES } from '../../../lib/scsi/logical-unit.js'
import { modePages, selectModePages } from '../../../lib/scsi/mode/index.js'
import { makeUnit } from '../../support/scsi.js'

const provisioning = () => ({ usedBytes: 0, limitBytes: 1, thresholdBytes: 1 })

describe('the list of mode pages', () => {
  it('is in ascending order of page and subpage', () => {
    const keys = modePages.map(({ code, subpage }) => code * 256 + subpage)
    expect(keys).toEqual([0x0100, 0x0800, 0x0a00, 0x1c00, 0x1c02])
  })

  it.each(modePages.map((page) => [page.code, page.subpage, page] as const))(
    'page %d/%d says its own codes and length, and its mask has the same length',
    (code, subpage, page) => {
      const bytes = page.build(makeUnit({ provisioning }), DEFAULT_MODES)
      expect(bytes[0]).toBe(code | (subpage === 0 ? 0 : 0x40))
      if (subpage === 0) expect(bytes[1]).toBe(bytes.length - 2)
      else expect([bytes[1], bytes.readUInt16BE(2)]).toEqual([subpage, bytes.length - 4])
      expect(page.changeable?.(makeUnit()).length ?? bytes.length).toBe(bytes.length)
    }
  )

  it.each([
    [0x3f, 0x00, [0x01, 0x08, 0x0a, 0x1c]],
    [0x3f, 0xff, [0x01, 0x08, 0x0a, 0x1c, 0x1c02]],
    [0x3f, 0x02, []],
    [0x1c, 0x00, [0x1c]],
    [0x1c, 0x02, [0x1c02]],
    [0x1c, 0xff, [0x1c, 0x1c02]],
    [0x1c, 0x01, []],
    [0x02, 0x00, []]
  ])('is asked for page %d, subpage %d', (code, subpage, expected) => {
    const pages = selectModePages(makeUnit({ provisioning }), code, subpage)
    expect(pages.map((page) => (page.subpage === 0 ? page.code : page.code * 256 + page.subpage))).toEqual(expected)
  })

  it('leaves the provisioning page out where there is no threshold', () => {
    expect(selectModePages(makeUnit(), 0x3f, 0xff)).toHaveLength(4)
    expect(selectModePages(makeUnit(), 0x1c, 0x02)).toEqual([])
  })
})
