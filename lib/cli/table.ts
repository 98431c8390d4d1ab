/**
 * Columns for a terminal. What came from a peer or a file name is shown without control characters, which could move
 * the cursor; a Hangul syllable takes two columns.
 */

/** Lines of a table with its head; every column as wide as its widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, ...rows].map((row) => row.map(plain))
  const widths = head.map((_, column) => Math.max(...lines.map((row) => displayWidth(row[column]!))))
  return lines.map((row) =>
    row
      .map((cell, column) => padded(cell, widths[column]!))
      .join('  ')
      .trimEnd()
  )
}

/** Control characters as `\u001b`. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u
const NARROW = /\p{M}/u

/** Columns that a terminal gives a text (East Asian Width, UAX #11). */
export function displayWidth(text: string): number {
  let width = 0
  for (const char of text) width += WIDE.test(char) || char.codePointAt(0)! >= 0x1f300 ? 2 : NARROW.test(char) ? 0 : 1
  return width
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(width - displayWidth(text))
}
