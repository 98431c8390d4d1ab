import { ConfigError } from '../target/config.js'
import { AssertionError } from '../util/assert.js'
import { codeOf, IscsiError, messageOf } from '../util/errors.js'

/** What a person reads when a command cannot do its work: sentences, each on its own line, never a stack. */
export function sentencesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems
  if (error instanceof AssertionError) return [`This is a mistake in Cloud-x itself: ${error.message}.`]
  const system = SENTENCES[codeOf(error)]
  if (error instanceof IscsiError || system === undefined) return [oneLine(messageOf(error))]
  return [system(details(error))]
}

interface Details {
  readonly path: string
  readonly address: string
  readonly port: string
}

/** Errors of the operating system that reach the command line as they are. */
const SENTENCES: Readonly<Record<string, (details: Details) => string>> = {
  EADDRINUSE: ({ address, port }) =>
    `Port ${port} of ${address} is taken by another program; stop that one or choose another port with --port.`,
  EADDRNOTAVAIL: ({ address }) => `${address} is no address of this PC; choose one of its own with --host.`,
  ENOTFOUND: ({ address }) => `The host name ${address} is not known; choose an address of this PC with --host.`,
  EAFNOSUPPORT: ({ address }) =>
    `This PC does not speak the kind of address that ${address} is; choose another --host.`,
  EACCES: ({ path, address, port }) =>
    port === '' ? `No permission to use ${path}.` : `No permission to listen on port ${port} of ${address}.`,
  EPERM: ({ path }) => `No permission to use ${path}.`,
  ENOENT: ({ path }) => `${path} does not exist.`,
  ENOTDIR: ({ path }) => `A part of ${path} is no folder.`,
  EISDIR: ({ path }) => `${path} is a folder.`,
  EROFS: ({ path }) => `${path} is on a file system that cannot be written.`,
  ENOSPC: ({ path }) => `There is no space left for ${path}.`,
  EMFILE: () => 'Too many open files; raise the limit of this user (ulimit -n).',
  EBUSY: ({ path }) => `${path} is in use by another program.`
}

function details(error: unknown): Details {
  const fields = error as { path?: unknown; address?: unknown; hostname?: unknown; port?: unknown }
  const text = (value: unknown, absent: string) =>
    typeof value === 'string' || typeof value === 'number' ? String(value) : absent
  return {
    path: text(fields.path, 'a file'),
    address: text(fields.address ?? fields.hostname, 'this PC'),
    port: text(fields.port, '')
  }
}

function oneLine(message: string): string {
  return message.replace(/\s*\n\s*/g, ' ')
}
