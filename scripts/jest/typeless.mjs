/**
 * Takes the types off a source file and leaves the rest as it is. Types are judged by the compiler in a step of its own,
 * so that spec files don't wait for it.
 */
import { transformSync } from 'oxc-transform'

const OPTIONS = { sourcemap: true, target: 'es2023', typescript: { onlyRemoveTypeImports: true } }

/**
 * @param {string} path of the file, for its messages
 * @param {string} source
 * @returns {{ code: string, map: object }}
 * @throws {SyntaxError} where the source has none
 */
export function typeless(path, source) {
  const { code, map, errors } = transformSync(path, source, OPTIONS)
  if (errors.length > 0) throw new SyntaxError(errors.map(({ codeframe, message }) => codeframe ?? message).join('\n'))
  return { code, map }
}
