/** Text in the columns of a terminal, where Hangul, Han and full-width characters take two. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/
const COMBINING = /\p{M}/u
/** Pictographs and everything behind them. */
const FIRST_WIDE_SUPPLEMENTARY = 0x1f300

/** Columns that a terminal gives a text (East Asian Width, UAX #11). */
export function columnsOf(text: string): number {
  let columns = 0
  // Composed, because the consonants and vowels of a decomposed syllable stand in the columns of one.
  for (const char of text.normalize('NFC')) columns += columnsOfOne(char)
  return columns
}

function columnsOfOne(char: string): number {
  if (WIDE.test(char) || char.codePointAt(0)! >= FIRST_WIDE_SUPPLEMENTARY) return 2
  return COMBINING.test(char) ? 0 : 1
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
