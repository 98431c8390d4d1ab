import type { Comparison } from './compare-restore.js'
import type { FragmentRow } from './fragments.js'
import type { Growth, GrowthSeries } from './growth.js'
import { markdown } from './report.js'

/** What docs/performance.md says of growth: tables beside the plot. */
export function growthSection({ series, fragments }: Growth): string[] {
  return [
    '## Cost of growth',
    '`npm run bench -- --growth`: CPU of the server for an operation, in microseconds, 4 KiB at random, depth 32, as something grows.\nMedians of rounds that go over all points.',
    '![cost of growth](growth.svg)',
    ...series.map(seriesTable),
    'Sequential reads of a delta that was written in blocks of 4 KiB at random, beside one that was written in sequence; both in\nblocks of 4 KiB, and the same number of chunks. The goal is at most 1.5 times the CPU.',
    fragmentTable(fragments)
  ]
}

function seriesTable({ title, axis, lines }: GrowthSeries): string {
  const labels = lines[0]!.points.map(({ label }) => label)
  const rows = lines.map((line) => [
    line.title,
    ...labels.map((label) => line.points.find((point) => point.label === label)?.cpuUs.toFixed(1) ?? '')
  ])
  return markdown([[`${title}, ${axis}`, ...labels], ...rows])
}

function fragmentTable(rows: readonly FragmentRow[]): string {
  const cells = rows.map(({ title, sequential, random, cpuRatio, rateRatio }) => [
    title,
    sequential.cpuUs.toFixed(0),
    random.cpuUs.toFixed(0),
    cpuRatio.toFixed(2),
    rateRatio.toFixed(2),
    cpuRatio <= 1.5 ? 'reached' : 'missed'
  ])
  return markdown([['read of', 'in sequence, µs', 'at random, µs', 'CPU ÷', 'rate ÷', 'verdict'], ...cells])
}

/** Restores beside what others do. */
export function comparisonSection(rows: readonly Comparison[]): string[] {
  const sizes = [...new Set(rows.map(({ label }) => label))]
  const titles = [...new Set(rows.map(({ title }) => title))]
  const cells = titles.map((title) => [
    title,
    ...sizes.map((size) => rows.find((row) => row.title === title && row.label === size)?.medianMs.toPrecision(3) ?? '')
  ])
  return [
    '## Restore, and what people do today',
    '`npm run bench -- --restore --compare`: milliseconds from the logout to the next possible login, by the size of what was written;\nmedians. A restore with tgt is: delete the target, make the disk anew, make the target.',
    '![restores compared](restore.svg)',
    markdown([['size of the delta', ...sizes], ...cells])
  ]
}

/** Lines over steps: each panel has its own scale from 0, or a logarithmic one. */
export interface Panel {
  readonly title: string
  readonly logarithmic?: boolean
  readonly lines: readonly { readonly title: string; readonly points: readonly { label: string; value: number }[] }[]
}

export function plotGrowth({ series, fragments }: Growth): string {
  const panels: Panel[] = series.map(({ title, lines }) => ({
    title: `${title}: CPU µs`,
    lines: lines.map((line) => ({
      title: line.title,
      points: line.points.map(({ label, cpuUs }) => ({ label, value: cpuUs }))
    }))
  }))
  const shares = [...new Set(fragments.map(({ title }) => title.split(', ')[1]!))]
  panels.push({
    title: 'written at random ÷ in sequence: CPU of sequential reads (goal 1.5)',
    lines: shares.map((share) => ({
      title: share,
      points: fragments
        .filter(({ title }) => title.endsWith(share))
        .map(({ title, cpuRatio }) => ({ label: title.split(', ')[0]!, value: cpuRatio }))
    }))
  })
  return plotPanels(panels)
}

export function plotComparison(rows: readonly Comparison[]): string {
  const titles = [...new Set(rows.map(({ title }) => title))]
  const lines = titles.map((title) => ({
    title,
    points: rows.filter((row) => row.title === title).map(({ label, medianMs }) => ({ label, value: medianMs }))
  }))
  return plotPanels([{ title: 'from the logout to the next possible login, ms', logarithmic: true, lines }])
}

function plotPanels(panels: readonly Panel[]): string {
  const height = panels.length * PANEL_HEIGHT
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...panels.map((panel, index) => drawPanel(panel, index * PANEL_HEIGHT)),
    '</svg>\n'
  ].join('\n')
}

function drawPanel({ title, lines, logarithmic }: Panel, top: number): string {
  const labels = [...new Set(lines.flatMap(({ points }) => points.map(({ label }) => label)))]
  const highest = Math.max(1, ...lines.flatMap(({ points }) => points.map(({ value }) => value)))
  const share = (value: number) =>
    logarithmic ? Math.log10(Math.max(1, value)) / Math.log10(Math.max(10, highest)) : value / highest
  const x = (label: string) => LEFT + (labels.indexOf(label) + 0.5) * (PLOT_WIDTH / labels.length)
  const y = (value: number) => top + 30 + (1 - share(value)) * PLOT_HEIGHT
  const parts = [
    text(LEFT, top + 18, title),
    text(8, y(highest) + 4, highest.toPrecision(3)),
    text(8, y(0) + 4, logarithmic ? '1' : '0')
  ]
  parts.push(`<path d="M${LEFT} ${y(highest)} V${y(0)} H${LEFT + PLOT_WIDTH}" fill="none" stroke="#888"/>`)
  for (const label of labels) parts.push(text(x(label) - 16, y(0) + 16, label))
  lines.forEach((line, index) => {
    const colour = COLOURS[index % COLOURS.length]!
    const places = line.points.map(({ label, value }) => `${x(label).toFixed(0)},${y(value).toFixed(1)}`)
    parts.push(`<polyline points="${places.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    parts.push(
      `<text x="${LEFT + PLOT_WIDTH + 12}" y="${top + 44 + index * 18}" fill="${colour}">${escaped(line.title)}</text>`
    )
  })
  return parts.join('\n')
}

function text(x: number, y: number, words: string): string {
  return `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}">${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

const WIDTH = 1000
const LEFT = 60
const PLOT_WIDTH = 560
const PLOT_HEIGHT = 150
const PANEL_HEIGHT = 220
const COLOURS = ['#48a', '#d40', '#4a4', '#a4a', '#a80']
