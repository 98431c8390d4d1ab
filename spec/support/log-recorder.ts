import type { Logger } from '../../lib/util/log.js'

/** A log that keeps its lines, `level: message`. */
export class LogRecorder implements Logger {
  readonly lines: string[] = []

  error(message: string): void {
    this.lines.push(`error: ${message}`)
  }
  warn(message: string): void {
    this.lines.push(`warn: ${message}`)
  }
  info(message: string): void {
    this.lines.push(`info: ${message}`)
  }
  debug(message: string): void {
    this.lines.push(`debug: ${message}`)
  }

  /** Lines that contain all of the words. */
  with(...words: readonly string[]): string[] {
    return this.lines.filter((line) => words.every((word) => line.includes(word)))
  }
}
