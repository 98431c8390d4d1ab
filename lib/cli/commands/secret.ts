import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ConfigError } from '../../target/config.js'
import { codeOf, IscsiError } from '../../util/errors.js'
import { print } from '../command.js'
import type { Command } from '../command.js'
import { languageOf, textOfProcess, withLanguage } from '../language.js'
import { powerShellText, wordFor } from '../quote.js'

/** Windows takes 12 to 16 bytes and no more; all of them are used. */
export const SECRET_LENGTH = 16
/**
 * Letters and digits that nobody takes for one another (no 0 O o, no 1 I l), and nothing that a shell, a URL or a
 * dialog would treat in its own way: 5.8 bits each, 92 in all.
 */
export const SECRET_CHARACTERS = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz'

const DEFAULT_FILE = 'cloudx.secret'

/** Makes the file that `--chap-secret-file` wants. */
export const secret: Command = secretOn(process.platform)

export function secretOn(platform: NodeJS.Platform): Command {
  return {
    usage: 'secret <action> [file]',
    about: 'Make a secret for CHAP: cloudx secret new [file]',
    options: (yargs) =>
      withLanguage(
        yargs
          .positional('action', { type: 'string', choices: ['new'], describe: 'What to do' })
          .positional('file', { type: 'string', describe: `The file to make [${DEFAULT_FILE}]` })
      ),

    async run(args, { environment, directory, stdout }) {
      const { secret: text } = textOfProcess(languageOf(args), environment)
      const name = typeof args.file === 'string' ? args.file : DEFAULT_FILE
      if (name === '') throw new ConfigError(['The name of the file is empty.'])
      const path = resolve(directory, name)
      try {
        // `wx` never follows a link that somebody has put there, and never overwrites. No line end: QEMU would take it
        // for a part of the secret.
        await writeFile(path, newSecret(), { flag: 'wx', mode: 0o600 })
      } catch (error) {
        if (codeOf(error) === 'EEXIST') throw new IscsiError('ERR_ISCSI_SECRET_EXISTS', text.exists(name))
        throw error
      }
      print(stdout, text.made(name))
      if (platform === 'win32') {
        print(stdout, text.windowsAccess)
        print(stdout, `  icacls ${powerShellText(path)} /inheritance:r /grant:r "\${env:USERNAME}:F"`)
      }
      print(stdout, text.use)
      print(stdout, `  cloudx share.img --chap-user pc --chap-secret-file ${wordFor(platform)(name)}`)
      print(stdout, text.clients)
      return 0
    }
  }
}

export function newSecret(): string {
  return Array.from({ length: SECRET_LENGTH }, () => SECRET_CHARACTERS[randomInt(SECRET_CHARACTERS.length)]).join('')
}
