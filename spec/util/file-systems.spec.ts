import { describe, expect, it } from '@jest/globals'
import { kindOfFileSystem, mountOf } from '../../lib/util/file-systems.js'

describe('the kind of a file system', () => {
  it.each([
    ['ext4', 'local'],
    ['xfs', 'local'],
    ['ntfs3', 'local'],
    ['fuseblk', 'local'],
    ['overlay', 'local'],
    ['vfat', 'fat'],
    ['exfat', 'fat'],
    ['nfs', 'network'],
    ['nfs4', 'network'],
    ['cifs', 'network'],
    ['smb3', 'network'],
    ['9p', 'network'],
    ['fuse.sshfs', 'network'],
    ['fuse.rclone', 'network'],
    ['btrfs', 'copy-on-write'],
    ['zfs', 'copy-on-write'],
    ['bcachefs', 'copy-on-write'],
    ['tmpfs', 'memory']
  ])('of %s is %s', (type, kind) => expect(kindOfFileSystem(type)).toBe(kind))
})

describe('the mount of a path', () => {
  const mounts = ['/', '/srv', '/srv/data', '/home', '/srv/data'].map((mountPoint, index) => ({ mountPoint, index }))
  it.each([
    ['/etc/passwd', 0],
    ['/srv', 1],
    ['/srv/database', 1],
    ['/srv/data', 4],
    ['/srv/data/a/b', 4],
    ['/', 0]
  ])('of %s is the deepest, and the last of them', (path, index) => {
    expect(mountOf(path, mounts)?.index).toBe(index)
  })

  it('is unknown where nothing is mounted', () => expect(mountOf('/srv', [])).toBeUndefined())
})
