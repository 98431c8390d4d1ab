import type { Argv } from 'yargs'
import type { Ask } from './consent.js'
import type { Invocation } from './recipes/autostart.js'
import type { ParsedArguments } from './options.js'

/** What a command uses of the world; a spec brings its own. */
export interface CliContext {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What relative paths start from. */
  readonly directory: string
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** Asks the person at the terminal; undefined when there is none. */
  readonly ask?: Ask | undefined
  /** How this program was started, for whoever wants it started again; undefined where it is not known. */
  readonly invocation?: Invocation | undefined
}

/** A verb of the command line: one file in commands/ and one line in its index. */
export interface Command {
  /** As yargs wants it; `$0` marks the one that runs when none is named. */
  readonly usage: string | readonly string[]
  readonly about: string
  /** For its help: command lines, each with what it does. */
  readonly examples?: readonly (readonly [string, string])[]
  /** Its actions; a command that has some does nothing itself. */
  readonly subcommands?: readonly Command[]
  readonly options: (yargs: Argv) => Argv
  /** Answers the exit code. What it throws is told in sentences and ends with 1. */
  run(args: ParsedArguments, context: CliContext): Promise<number>
}

/** For commands that answer: `--json` for programs. */
export function withJson(yargs: Argv): Argv {
  return yargs.option('json', { type: 'boolean', describe: 'Answer with one JSON value' })
}

export function asJson(args: ParsedArguments): boolean {
  return args.json === true
}

/** The answer of a command: whole for a program that asked with `--json`, in lines for a person. */
export function tell<T>(
  args: ParsedArguments,
  { stdout }: CliContext,
  answer: T,
  lines: (answer: T) => readonly string[]
): void {
  if (asJson(args)) print(stdout, JSON.stringify(answer, undefined, 2))
  else for (const line of lines(answer)) print(stdout, line)
}

/** The line goes to whoever asked for an answer; the log has its own stream. */
export function print(stream: NodeJS.WritableStream, line: string): void {
  stream.write(`${line}\n`)
}
