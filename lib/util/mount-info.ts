/** One line of Linux' /proc/self/mountinfo. */
export interface MountInfo {
  /** `major:minor` of the device. */
  readonly number: string
  readonly mountPoint: string
  /** Type of the file system, such as `ext4` or `fuse.sshfs`. */
  readonly type: string
  /** The device, or whatever the file system says instead. */
  readonly source: string
}

/** proc(5): `36 35 98:0 /root /mount/point options optional… - type source super-options`. Other lines are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', 6)
    if (dash < 0 || fields.length < dash + 3) return []
    const [number, mountPoint, type, source] = [fields[2]!, fields[4]!, fields[dash + 1]!, fields[dash + 2]!]
    return [{ number, mountPoint: unescapeOctal(mountPoint), type, source: unescapeOctal(source) }]
  })
}

/** The kernel writes blanks in names as `\040`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
