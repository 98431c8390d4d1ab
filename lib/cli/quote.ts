/** One word for a POSIX shell: bare when it is harmless, else in single quotes. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** One argument for PowerShell: bare when it is harmless, else in single quotes, in which nothing is special but they. */
export function powerShellWord(text: string): string {
  return /^[A-Za-z0-9_.:/\\][\w.:/\\-]*$/.test(text) ? text : powerShellText(text)
}

/** Always in quotes, as the value of a parameter is best written. PowerShell takes typographic quotes for quotes too. */
export function powerShellText(text: string): string {
  return `'${text.replace(/['\u2018\u2019\u201a\u201b]/g, '$&$&')}'`
}

/** A word for the shell that people have on this platform. */
export function wordFor(platform: NodeJS.Platform): (text: string) => string {
  return platform === 'win32' ? powerShellWord : shellWord
}
