import type { Verdict } from './report.js'

/** The ratios as bars on a logarithmic scale, the goal a line across each: one picture for the document. */
export function plot(verdicts: readonly Verdict[]): string {
  const rows = verdicts.filter(({ reached }) => reached !== undefined)
  const height = TOP + rows.length * ROW_HEIGHT + 40
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    panel(rows, RATE_LEFT, 'operations a second ÷ tgtd (more is better)', ({ rate, row }) => [rate, row.goals.rate]),
    panel(rows, CPU_LEFT, 'CPU for each operation ÷ tgtd (less is better)', ({ cpu, row }) => [cpu, row.goals.cpu]),
    ...rows.map(({ row }, index) => text(8, TOP + index * ROW_HEIGHT + 15, escaped(row.title))),
    '</svg>'
  ]
  return `${parts.join('\n')}\n`
}

function panel(
  rows: readonly Verdict[],
  left: number,
  title: string,
  valueOf: (verdict: Verdict) => readonly [number, number | undefined]
): string {
  const x = (ratio: number) => left + (Math.log2(Math.min(Math.max(ratio, 1 / 16), 16)) + 4) * (PANEL_WIDTH / 8)
  const bottom = TOP + rows.length * ROW_HEIGHT
  const parts = [text(left, 20, title)]
  for (const ratio of [1 / 16, 1 / 4, 1, 4, 16]) {
    const colour = ratio === 1 ? '#000' : '#ccc'
    parts.push(line(x(ratio), TOP, x(ratio), bottom, colour), text(x(ratio) - 8, bottom + 16, label(ratio)))
  }
  rows.forEach((verdict, index) => {
    const [ratio, goal] = valueOf(verdict)
    const y = TOP + index * ROW_HEIGHT
    const [from, to] = [x(1), x(ratio)].toSorted((a, b) => a - b)
    parts.push(
      `<rect x="${from!.toFixed(1)}" y="${y + 4}" width="${(to! - from!).toFixed(1)}" height="14" fill="#48a"/>`
    )
    if (goal !== undefined) parts.push(line(x(goal), y + 1, x(goal), y + 21, '#d40', 2))
  })
  return parts.join('\n')
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, width = 1): string {
  const at = `x1="${x1.toFixed(1)}" y1="${y1}" x2="${x2.toFixed(1)}" y2="${y2}"`
  return `<line ${at} stroke="${colour}" stroke-width="${width}"/>`
}

function text(x: number, y: number, words: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}">${words}</text>`
}

function label(ratio: number): string {
  return ratio < 1 ? `1/${1 / ratio}` : `${ratio}`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

const WIDTH = 1120
const TOP = 32
const ROW_HEIGHT = 22
const RATE_LEFT = 400
const CPU_LEFT = 770
const PANEL_WIDTH = 320
