import { format as formatText } from 'node:util'
import winston from 'winston'
import { BoundedOutput } from './bounded-output.js'
import { plain } from './plain.js'

/**
 * The log of the control plane and the one home of winston. A message is a sentence for people; fields are for
 * programs and appear in the JSON format alone, so that a line stays readable. The data path never logs.
 */
export interface Logger {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, unknown>>

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const LOG_FORMATS = ['human', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export interface LogOptions {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Also written here, rotated; undefined = standard error alone. */
  readonly file: string | undefined
}

/** One log file grows to this; then it becomes `name1`, `name2` …, and the oldest goes. */
export const LOG_FILE_BYTES_MAX = 10 * 2 ** 20
export const LOG_FILE_COUNT_MAX = 5
/** A peer can make us log its texts (names, keys); one line never grows beyond this. */
export const LOG_MESSAGE_LENGTH_MAX = 2000

/** What waits for a console that stands still; what comes then is counted and dropped. A log file gets every line. */
export const LOG_WAITING_BYTES_MAX = 256 * 2 ** 10

/** A log that must be closed, so that its last lines reach the file. */
export interface ClosableLogger extends Logger {
  close(): Promise<void>
}

/**
 * Opens the log. Lines go to standard error, because standard output belongs to what a command answers.
 * @param limits - for specs: bytes and count of the rotated files
 */
export function openLog(
  options: LogOptions,
  stream: NodeJS.WritableStream = process.stderr,
  limits = { bytes: LOG_FILE_BYTES_MAX, count: LOG_FILE_COUNT_MAX }
): ClosableLogger {
  const console = new BoundedOutput(stream, LOG_WAITING_BYTES_MAX, (count) => {
    const lines = count === 1 ? '1 line of the log was' : `${count} lines of the log were`
    logger.log('warn', `${lines} not written here while the console stood still`, { fields: { dropped: count } })
  })
  const logger = winston.createLogger({
    level: options.level,
    levels: Object.fromEntries(LOG_LEVELS.map((level, index) => [level, index])),
    format: options.format === 'json' ? jsonLine() : humanLine(),
    transports: [new winston.transports.Stream({ stream: console, eol: '\n' })],
    exitOnError: false
  })
  if (options.file !== undefined) {
    const file = new winston.transports.File({
      filename: options.file,
      maxsize: limits.bytes,
      maxFiles: limits.count,
      tailable: true
    })
    logger.add(file)
  }
  logger.on('error', ignore)
  stream.on('error', ignore)
  return {
    error: (message, fields) => void logger.log('error', message, { fields }),
    warn: (message, fields) => void logger.log('warn', message, { fields }),
    info: (message, fields) => void logger.log('info', message, { fields }),
    debug: (message, fields) => void logger.log('debug', message, { fields }),
    close: () => closed(logger, stream).finally(() => console.destroy())
  }
}

/** For specs and embedders that want silence. */
export const silentLog: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined
}

/** `2026-01-31 08:15:02.123 INFO  sentence` in local time. */
function humanLine(): winston.Logform.Format {
  return winston.format.printf(({ level, message }) => {
    return `${localTime(new Date())} ${level.toUpperCase().padEnd(5)} ${sentence(message)}`
  })
}

/** One JSON object a line: `time` (ISO 8601, UTC), `level`, `message`, then the fields. */
function jsonLine(): winston.Logform.Format {
  return winston.format.printf(({ level, message, fields }) => {
    const line = { time: new Date().toISOString(), level, message: sentence(message) }
    // Once in front for the order, once behind so that no field can take their place.
    return JSON.stringify({ ...line, ...withoutSecrets(fields as LogFields | undefined), ...line })
  })
}

function sentence(message: unknown): string {
  const text = plain(typeof message === 'string' ? message : formatText(message))
  return text.length > LOG_MESSAGE_LENGTH_MAX ? `${text.slice(0, LOG_MESSAGE_LENGTH_MAX)}…` : text
}

/** The second wall: nothing in the code hands a secret to the log, and if it did, it would not be written. */
function withoutSecrets(fields: LogFields | undefined): LogFields {
  const text = JSON.stringify(fields ?? {}, (key, value: unknown) => {
    if (/secret|password|chap_?r\b/i.test(key)) return '(hidden)'
    return typeof value === 'bigint' ? value.toString() : value
  })
  return JSON.parse(text) as LogFields
}

function localTime(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** A console that went away (EPIPE) or a full disk must not end the server. */
function ignore(): void {
  // There is no place left to tell it.
}

/** Resolves when every transport has written its last line; a file counts when it is closed. */
async function closed(logger: winston.Logger, stream: NodeJS.WritableStream): Promise<void> {
  const files = logger.transports.filter((transport) => transport instanceof winston.transports.File)
  const finished = files.map((file) => new Promise<void>((resolve) => file.once('finish', () => resolve())))
  logger.end()
  await Promise.all(finished)
  stream.off('error', ignore)
}
