import { readConfiguration } from '../../target/config.js'
import { formatRule } from '../../target/policy.js'
import type { TargetOptions, UnitOptions } from '../../target/options.js'
import { formatSize } from '../../util/units.js'
import { print } from '../command.js'
import type { Command } from '../command.js'
import { entriesOf, single, withSettings } from '../options.js'

/** Reads the command line and the configuration file like `serve` does, says what they mean, and starts nothing. */
export const checkConfig: Command = {
  usage: 'check-config [file]',
  about: 'Check a configuration file and show what it means',
  options: (yargs) => withSettings(yargs.positional('file', { type: 'string', describe: 'The configuration file' })),

  async run(args, { environment, directory, stdout, stderr }) {
    const configFile = typeof args.file === 'string' ? args.file : single(args, 'config')
    const commandLine = entriesOf(args, [], directory)
    const { server, warnings } = await readConfiguration({ commandLine, configFile, environment, directory })
    for (const warning of warnings) print(stderr, `Warning: ${warning}`)
    for (const target of server.targets) describeTarget(target).forEach((line) => print(stdout, line))
    const places = server.portals.map(({ host, port }) => `${host} port ${port}`)
    print(stdout, `The configuration is right. The server would listen on ${places.join(', ')}.`)
    return 0
  }
}

function describeTarget({ name, alias, units, access, authors, initiators }: TargetOptions): string[] {
  const who = access.allow.length === 0 ? 'everybody' : access.allow.join(', ')
  const how = access.mutual ? 'mutual CHAP' : access.chap ? 'CHAP' : 'no authentication'
  return [
    alias === undefined ? name : `${name} (${alias})`,
    ...units.map(describeUnit),
    `  access: ${who}; ${how}`,
    ...(authors.length === 0 ? [] : [`  authors: ${authors.join(', ')}`]),
    ...initiators.map((rule) => `  policy: ${formatRule(rule)}`)
  ]
}

function describeUnit(unit: UnitOptions): string {
  const { lun, path, partition, readOnly, blockSize, createBytes, personal, restoreOn } = unit
  const facts = [`${blockSize}-byte blocks`, `${formatSize(createBytes)} if it must be made`]
  if (partition !== undefined) facts.unshift(`partition ${partition}`)
  if (personal) facts.unshift('personal')
  else if (restoreOn !== 'logout') facts.unshift(`restore-on ${restoreOn}`)
  if (readOnly) facts.unshift('read-only')
  return `  LUN ${lun}: ${path} (${facts.join(', ')})`
}
