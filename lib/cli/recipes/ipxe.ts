import { isIP } from 'node:net'
import { SECRET, type Share } from './share.js'

/** Lines for the shell or a script of iPXE: boot from LUN 0 (`iscsi:<server>:<protocol>:<port>:<LUN>:<target>`). */
export function bootWithIpxe({ targetName, host, port, chapUser }: Share): readonly string[] {
  const server = isIP(host) === 6 ? `[${host}]` : host
  const boot = `sanboot iscsi:${server}::${port}:0:${targetName}`
  return chapUser === undefined ? [boot] : [`set username ${chapUser}`, `set password ${SECRET}`, boot]
}
