import { tmpdir } from 'node:os'

/** For temporary files of specs that want a disk: a folder for others may be one in memory, and lie under /dev. */
export const DISK_DIRECTORY = process.platform === 'linux' ? '/var/tmp' : tmpdir()
