/** A path as a shell takes it for one word; cmd and PowerShell know the double quotes. */
export function quoted(path: string, platform: NodeJS.Platform = process.platform): string {
  if (platform === 'win32') return /^[\p{L}\p{M}\p{N}_@%+:,./\\-]+$/u.test(path) ? path : `"${path}"`
  return /^[\p{L}\p{M}\p{N}_@%+:,./-]+$/u.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
