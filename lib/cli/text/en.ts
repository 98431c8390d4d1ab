import type { Text } from './text.js'

export const en: Text = {
  secret: {
    made: (path) => `${path} holds a new secret of 16 characters; only you can read it.`,
    use: 'Start the server with it:',
    clients: 'Whoever is to use the disk needs the user name pc and the line in this file; both are case-sensitive.',
    windowsAccess: 'So that no other user of this PC can read it (PowerShell):',
    exists: (path) => `${path} exists already and is left as it is; name another file, or remove this one first.`
  }
}
