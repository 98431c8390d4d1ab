/**
 * Lets Node 20 import the TypeScript of this project as it stands: the types are taken off on the way, as for the specs.
 * The fuzzer so runs the very source, needs no build, and shares the tools of the specs.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'oxc-transform'

const OPTIONS = { target: 'es2023', typescript: { onlyRemoveTypeImports: true } }

export function resolve(specifier, context, next) {
  if (!specifier.startsWith('.') || !specifier.endsWith('.js')) return next(specifier, context)
  const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL)
  return existsSync(fileURLToPath(source)) ? { url: source.href, shortCircuit: true } : next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const path = fileURLToPath(url)
  const { code, errors } = transformSync(path, await readFile(path, 'utf8'), OPTIONS)
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors.map(({ message }) => message).join('\n')}`)
  return { format: 'module', source: code, shortCircuit: true }
}
