import { describe, expect, it } from '@jest/globals'
import { parseMountInfo, unescapeOctal } from '../../lib/util/mount-info.js'

describe('parseMountInfo', () => {
  // The first line is the example of proc(5).
  const TEXT = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '40 35 8:17 / /media/my\\040disk rw - fuseblk /dev/sd\\040b1 rw',
    '41 35 0:50 / /remote rw shared:3 master:1 propagate_from:2 - fuse.sshfs pc:/home rw'
  ]

  it('reads number, mount point, type and source, whatever optional fields stand between', () => {
    expect(parseMountInfo(TEXT.join('\n'))).toEqual([
      { number: '98:0', mountPoint: '/mnt2', type: 'ext3', source: '/dev/root' },
      { number: '8:17', mountPoint: '/media/my disk', type: 'fuseblk', source: '/dev/sd b1' },
      { number: '0:50', mountPoint: '/remote', type: 'fuse.sshfs', source: 'pc:/home' }
    ])
  })

  it.each([
    ['nothing', ''],
    ['a line that ends early', '36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3'],
    ['a line without its dash', '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 ext3 /dev/root rw']
  ])('leaves out %s', (_title, text) => expect(parseMountInfo(text)).toEqual([]))
})

describe('unescapeOctal', () => {
  it('reads what the kernel escapes: blank, tab, line end and backslash', () => {
    expect(unescapeOctal('a\\040b\\011c\\012d\\134e')).toBe('a b\tc\nd\\e')
  })
})
