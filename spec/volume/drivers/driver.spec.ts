import { describe, expect, it } from '@jest/globals'
import { sizeOfLocation } from '../../../lib/volume/drivers/driver.js'
import { codeOf } from '../../../lib/util/errors.js'
import { thrown } from '../../contracts/volume.contract.js'

describe('a size in the place of a location', () => {
  it.each([
    ['512', 512],
    ['64K', 65536],
    ['64KiB', 65536],
    ['3m', 3145728],
    ['1.5G', 1610612736],
    ['1GB', 1073741824],
    ['1TiB', 1099511627776]
  ])('%s is %d bytes', (text, size) => {
    expect(sizeOfLocation('zero', text)).toBe(size)
  })

  it.each(['', 'x', '-1', '0', '1000', '511', '1.3K', '9999999T', '1X', '/a/path'])("'%s' is none", (text) => {
    expect(codeOf(thrown(() => sizeOfLocation('zero', text)))).toBe('ERR_ISCSI_BAD_SIZE')
  })

  it('is shown the right way in the message', () => {
    expect(() => sizeOfLocation('memory', 'big')).toThrow(
      "'memory:big' does not name a size: write for instance memory:64MiB"
    )
  })
})
