import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readConfiguration } from '../../target/config.js'
import type { ServerOptions } from '../../target/options.js'
import { realPlace } from '../../target/real-place.js'
import { stateBeside } from '../../target/state-place.js'
import { messageOf } from '../../util/errors.js'
import { columnsOf, padded, wrap } from '../columns.js'
import { print } from '../command.js'
import type { Command } from '../command.js'
import type { Check, Finding, Situation } from '../doctor/check.js'
import { checks } from '../doctor/checks/index.js'
import { probePort } from '../doctor/probe.js'
import { ownAddresses } from '../host/addresses.js'
import { thisSystem, type System } from '../host/system.js'
import { textOfProcess } from '../language.js'
import { entriesOf, single, withSettings } from '../options.js'
import type { Text } from '../text/text.js'

/** Without --lun and --config the folder is looked at where an image would be made. */
const ANY_IMAGE = 'share.img'
const COLUMNS = 100

/** Looks whether this PC is fit to serve: each check OK, or the one command that fixes it. */
export const doctor: Command = doctorOn(thisSystem)

export function doctorOn(system: System, probe: Situation['probe'] = probePort): Command {
  return {
    usage: 'doctor [image..]',
    about: 'Check port, firewall, address, sleep, space and clock of this PC, and say what fixes them',
    options: (yargs) =>
      withSettings(
        yargs
          .positional('image', { type: 'string', array: true, describe: 'The same as --lun' })
          .option('config', { nargs: 1, requiresArg: true, describe: 'Read settings from this file' })
          .option('json', { type: 'boolean', describe: 'Answer for programs' })
      ),

    async run(args, { environment, directory, stdout }) {
      const configFile = single(args, 'config')
      const named = Array.isArray(args.image) ? args.image.map(String) : []
      const images = named.length > 0 || configFile !== undefined || args.lun !== undefined ? named : [ANY_IMAGE]
      const commandLine = entriesOf(args, images, directory)
      const { server, banner } = await readConfiguration({ commandLine, configFile, environment, directory })
      const text = textOfProcess(banner.language, environment)
      const situation = await situationOf(server, system, text, probe)
      const findings = await Promise.all(
        checks.map(async (check) => ({ check: check.name, ...(await examined(check, situation)) }))
      )
      if (args.json === true) print(stdout, JSON.stringify({ findings }, undefined, 2))
      else for (const line of report(findings, text)) print(stdout, line)
      return findings.some(({ state }) => state === 'problem') ? 1 : 0
    }
  }
}

type NamedFinding = Finding & { readonly check: Check['name'] }

/** A check that fails itself must not hide the others. */
async function examined(check: Check, situation: Situation): Promise<Finding> {
  return check.examine(situation).catch((error: unknown) => ({ state: 'unknown', message: messageOf(error) }))
}

async function situationOf(
  { targets, portals, stateDirectory }: ServerOptions,
  system: System,
  { doctor: text, banner }: Text,
  probe: Situation['probe']
): Promise<Situation> {
  const images = targets.flatMap(({ units }) => units.map(({ path }) => path))
  const state = stateDirectory ?? stateBeside(images[0] ?? ANY_IMAGE)
  const [address] = await ownAddresses(system)
  return {
    system,
    text,
    places: banner,
    hosts: portals.map(({ host }) => host),
    port: portals[0]!.port,
    address,
    statePath: await existing(await realPlace(state)),
    paths: [...images, ...(stateDirectory === undefined ? images.map(stateBeside) : [stateDirectory])],
    probe
  }
}

/** The path, or the nearest folder above that exists: that is where it would be made. */
async function existing(path: string): Promise<string> {
  const found = await access(path).then(
    () => true,
    () => false
  )
  return found || dirname(path) === path ? path : existing(dirname(path))
}

function report(findings: readonly NamedFinding[], { doctor: text }: Text): string[] {
  const left = 2 + Math.max(...findings.map(({ check }) => columnsOf(text.checks[check])))
  const mark = 2 + Math.max(...Object.values(text.states).map(columnsOf))
  const lines = findings.flatMap(({ check, state, message, command }) => [
    ...wrap(message, COLUMNS - left - mark).map((line, i) =>
      i === 0
        ? padded(text.states[state], mark) + padded(text.checks[check], left) + line
        : ' '.repeat(mark + left) + line
    ),
    // A line to paste is never broken.
    ...(command === undefined ? [] : [' '.repeat(mark + left) + command])
  ])
  const count = findings.filter(({ state }) => state === 'problem').length
  return [...lines, '', count === 0 ? text.allWell : text.problems(count)]
}
