/**
 * Jest's transform: takes the types off a source file and leaves the rest as it is. Types are judged by the compiler in
 * a step of its own, so that 200 spec files don't wait for it.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'oxc-transform'

const OPTIONS = { sourcemap: true, target: 'es2023', typescript: { onlyRemoveTypeImports: true } }

/** What a result depends on beside the source: this file and the version of the package. */
const VERSION = [fileURLToPath(import.meta.url), fileURLToPath(import.meta.resolve('oxc-transform/package.json'))].map(
  (path) => readFileSync(path, 'utf8')
)

export default { process, getCacheKey }

function process(source, path) {
  const { code, map, errors } = transformSync(path, source, OPTIONS)
  if (errors.length > 0) throw new SyntaxError(errors.map(({ codeframe, message }) => codeframe ?? message).join('\n'))
  return { code, map }
}

function getCacheKey(source, path, { configString }) {
  const hash = createHash('sha256')
  for (const part of [...VERSION, configString, path, source]) hash.update(part).update('\0')
  return hash.digest('hex')
}
