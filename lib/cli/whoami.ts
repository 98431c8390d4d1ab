import { userInfo } from 'node:os'

/**
 * Who gives an order, for the audit log: the user of this process, and behind sudo whoever called it. The server takes it
 * as it is; that nobody else may ask it is a matter of the rights of its socket.
 */
export function whoami(environment: Readonly<Record<string, string | undefined>>): string {
  const name = nameOfUser()
  const caller = environment['SUDO_USER']
  return caller === undefined || caller === name ? name : `${caller} (as ${name})`
}

/** A user without an entry (in a container) is a number. */
function nameOfUser(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.getuid?.() ?? 'unknown'}`
  }
}
