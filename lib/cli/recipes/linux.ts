import { isIP } from 'node:net'
import { shellWord } from '../quote.js'
import { OTHER_SECRET, SECRET, type Share } from './share.js'

/** Lines for open-iscsi. A node record is made without discovery, which would need the secret in a file of its own. */
export function connectFromLinux(share: Share): readonly string[] {
  const node = nodeOf(share)
  const set = (name: string, value: string) => `${node} -o update -n node.session.auth.${name} -v ${shellWord(value)}`
  return [
    `${node} -o new`,
    ...(share.chapUser === undefined
      ? []
      : [set('authmethod', 'CHAP'), set('username', share.chapUser), set('password', SECRET)]),
    // The name that the target proves itself with is not looked at by iscsid, which wants one all the same.
    ...(share.mutual ? [set('username_in', 'cloudx'), set('password_in', OTHER_SECRET)] : []),
    `${node} --login`
  ]
}

export function disconnectFromLinux(share: Share): readonly string[] {
  return [`${nodeOf(share)} --logout`]
}

function nodeOf({ targetName, host, port }: Share): string {
  const portal = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
  return `sudo iscsiadm -m node -T ${shellWord(targetName)} -p ${shellWord(portal)}`
}
