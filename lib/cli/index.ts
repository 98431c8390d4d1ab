import { resolve } from 'node:path'
import yargs from 'yargs'
import type { Argv } from 'yargs'
import { commands } from './commands/index.js'
import { print } from './command.js'
import type { CliContext, Command } from './command.js'
import { askAtTerminal } from './consent.js'
import { sentencesOf } from './failure.js'
import { ConfigError } from '../target/config.js'
import { codeOf } from '../util/errors.js'
import { unknownOptions } from './options.js'
import type { ParsedArguments } from './options.js'
import { version } from './version.js'

/** Columns of the help; a terminal that is narrower gets its own width. */
const HELP_WIDTH_MAX = 110

const EXAMPLES: readonly (readonly [string, string])[] = [
  ['cloudx ./share.img', 'Share one image; it is made if it does not exist'],
  ['cloudx --lun win11.img --lun data.img --port 3261', 'Two disks, on another port'],
  ['cloudx --lun disk.img,partition=2', 'Only the second partition, as a disk of its own'],
  ['cloudx ./share.img --allow 192.168.1.0/24', 'Only for this network'],
  ['cloudx ./share.img --chap-user pc --chap-secret-file secret.txt', 'Only for those who know the secret'],
  ['cloudx ./share.img --author local', 'Fill the image from this PC'],
  ['cloudx image create share.img --from ./folder', 'Make an image with what is in a folder'],
  ['cloudx --config cloudx.yaml', 'Several targets']
]

/** Runs a command line and answers the exit code; whatever goes wrong is told in sentences. */
export async function main(
  argv: readonly string[],
  context: CliContext = ofProcess(),
  verbs = commands
): Promise<number> {
  let exitCode = 0
  try {
    const parser = makeParser(verbs, async (command, args) => {
      exitCode = await command.run(args, context)
    })
    // With a callback yargs prints nothing itself: help and version come as text.
    let output = ''
    await parser.parseAsync([...argv], {}, (_error: unknown, _args: unknown, text: string) => {
      output = text
    })
    if (output !== '') print(context.stdout, output)
    return exitCode
  } catch (error) {
    for (const sentence of sentencesOf(error)) print(context.stderr, `cloudx: ${sentence}`)
    return 1
  }
}

function makeParser(verbs: readonly Command[], run: (command: Command, args: ParsedArguments) => Promise<void>): Argv {
  const parser = yargs()
    .scriptName('cloudx')
    .usage(
      '$0 [image..] [options]\n\nShares a disk image over iSCSI. What a client writes is its own and gone at its logout.'
    )
    .parserConfiguration({
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'duplicate-arguments-array': true,
      'greedy-arrays': false,
      'strip-aliased': true,
      'populate--': true
    })
    .exitProcess(false)
    .locale('en')
    .strictOptions()
    .help()
    .version(version())
    .wrap(Math.min(HELP_WIDTH_MAX, process.stdout.columns || HELP_WIDTH_MAX))
    .example(EXAMPLES as [string, string][])
    .epilogue(
      'Sizes: 20G, 512M, 4096. Times: 96h, 30m, 45s, 0. All options can stand in the --config file: docs/configuration.md'
    )
  for (const command of verbs) addCommand(parser, command, run)
  return parser
}

function addCommand(parser: Argv, command: Command, run: (command: Command, args: ParsedArguments) => Promise<void>) {
  const { usage, about, examples = [], subcommands = [] } = command
  const build = (argv: Argv): Argv => {
    argv.fail((message, error) => refuse(message, error, argv)).example(examples as [string, string][])
    for (const subcommand of subcommands) addCommand(argv, subcommand, run)
    if (subcommands.length > 0)
      argv.demandCommand(1, `${String(usage)}: say what to do; --help shows it`).strictCommands()
    return command.options(argv)
  }
  parser.command(usage, about, build, (args) => run(command, args))
}

/** Turns what yargs says about a wrong option into our words; errors of a command pass through. */
function refuse(message: string | null, error: Error | undefined, parser: Argv): never {
  if (error && error.name !== 'YError') throw error
  const words = message ?? error?.message ?? ''
  const unknown = /^Unknown arguments?: (.*)$/s.exec(words)
  if (unknown) throw unknownOptions(unknown[1]!.split(', '), knownOptions(parser))
  const verb = /^Unknown commands?: (.*)$/s.exec(words)
  if (verb) throw new ConfigError([`There is no command "${verb[1]}"; --help lists all of them.`])
  const bare = /^Not enough arguments following: (.*)$/.exec(words)
  throw new ConfigError([bare ? `--${bare[1]}: needs a value` : words.trim().replace(/\s*\n\s*/g, ' ')])
}

function knownOptions(parser: Argv): string[] {
  // yargs keeps its table public, though its types do not tell.
  const table = (parser as unknown as { getOptions(): { key: Record<string, unknown> } }).getOptions()
  return Object.keys(table.key)
}

function ofProcess(): CliContext {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', noteUnwritten)
  return {
    environment: process.env,
    directory: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
    invocation: {
      program: [process.execPath, resolve(process.argv[1] ?? '')],
      args: process.argv.slice(2),
      directory: process.cwd()
    },
    ask: askAtTerminal(process.stdin, process.stderr)
  }
}

/** A reader such as `head` has read enough; an answer that did not get out for another reason is a failure. */
function noteUnwritten(error: Error): void {
  if (codeOf(error) !== 'EPIPE') process.exitCode = 1
}
