import { open } from 'node:fs/promises'
import { codeOf } from '../../util/errors.js'

/** RFC 7143 §9.2.1 wants 96 bits at least; Windows takes no less than 12 bytes, and one length byte counts in CHAP_R. */
export const SECRET_BYTES_MIN = 12
export const SECRET_BYTES_MAX = 255

/** A secret, or the sentence that says why there is none. Neither sentence nor warning ever holds a byte of it. */
export type SecretResult =
  | { readonly secret: Buffer; readonly warning: string | undefined }
  | { readonly problem: string }

/** Reads a secret file; one line end at its end does not count. */
export async function readSecretFile(path: string): Promise<SecretResult> {
  try {
    const file = await open(path, 'r')
    try {
      const { mode } = await file.stat()
      const buffer = Buffer.alloc(SECRET_BYTES_MAX + 3)
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
      const result = checkSecret(withoutLineEnd(buffer.subarray(0, bytesRead)), `the secret in ${path}`)
      return 'problem' in result ? result : { ...result, warning: exposure(path, mode) }
    } finally {
      await file.close()
    }
  } catch (error) {
    return { problem: `the secret file ${path} ${FILE_PROBLEMS[codeOf(error)] ?? `cannot be read (${codeOf(error)})`}` }
  }
}

/** Takes a secret from the value of an environment variable. */
export function secretFromVariable(name: string, value: string): SecretResult {
  return checkSecret(withoutLineEnd(Buffer.from(value, 'utf8')), `the secret in ${name}`)
}

function checkSecret(secret: Buffer, what: string): SecretResult {
  const range = `it must have ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes`
  if (secret.length < SECRET_BYTES_MIN) return { problem: `${what} is too short with ${secret.length} bytes; ${range}` }
  if (secret.length > SECRET_BYTES_MAX) return { problem: `${what} is too long; ${range}` }
  if (secret.includes(0x0a) || secret.includes(0x00)) return { problem: `${what} must be one line of text` }
  return { secret, warning: undefined }
}

function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}

/** Windows keeps access lists instead of mode bits, and Node shows 0666 for every file there. */
function exposure(path: string, mode: number, platform = process.platform): string | undefined {
  if (platform === 'win32' || (mode & 0o077) === 0) return undefined
  return `The secret file ${path} can be read by other users of this PC; "chmod 600 ${path}" makes it yours alone.`
}

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  EISDIR: 'is a folder'
}
