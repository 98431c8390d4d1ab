import { plain } from '../util/plain.js'
import { columnsOf, padded } from './columns.js'

/**
 * Lines of a table with its head; every column as wide as its widest cell. What came from a peer or a file name is shown
 * without control characters, which could move the cursor.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, ...rows].map((row) => row.map(plain))
  const widths = head.map((_, column) => Math.max(...lines.map((row) => columnsOf(row[column]!))))
  return lines.map((row) =>
    row
      .map((cell, column) => padded(cell, widths[column]!))
      .join('  ')
      .trimEnd()
  )
}
