/** Text in the columns of a terminal, where Hangul, Han and full-width characters take two. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u9fff\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/

/** Columns that a text takes. */
export function columnsOf(text: string): number {
  let columns = 0
  for (const char of text.normalize('NFC')) columns += WIDE.test(char) || char.length === 2 ? 2 : 1
  return columns
}

/** Lines of at most `columns`, broken at blanks; a word that is longer stands on a line of its own, unbroken. */
export function wrap(text: string, columns: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line === '' || columnsOf(longer) <= columns) line = longer
    else {
      lines.push(line)
      line = word
    }
  }
  return [...lines, line]
}

/** The text with blanks behind it, up to `columns`. */
export function padded(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - columnsOf(text)))
}
