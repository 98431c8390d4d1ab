/**
 * iSCSI names, RFC 7143 §4.2.7 and RFC 3722: `iqn.` with a date and a naming authority, `eui.` with 16 and `naa.` with
 * 16 or 32 hexadecimal digits. Two names are the same when their normal forms are the same bytes, so nothing but the
 * normal form may become a key, a file name or a log field.
 *
 * The normal form is lower case and NFKC; letters, marks and digits of every script may stand in it, of ASCII only
 * a-z, 0-9, dash, dot and colon. One thing is taken more broadly than RFC 3722 has it: an underscore is allowed, since
 * initiators put a host name behind their prefix and host names have underscores. What could mean something to a file
 * system or a shell (slash, backslash, blank, quote, NUL) is never part of a name.
 */

/** Bytes of UTF-8, RFC 7143 §4.2.7.2. */
export const NAME_LENGTH_MAX = 223

const CHARACTERS = /^[a-z0-9\-.:_\u0080-\u{10ffff}]+$/u
const LETTERS_MARKS_DIGITS = /^[\x21-\x7e\p{L}\p{M}\p{N}]+$/u
// RFC 3454 §6: one character that is written from right to left forbids all that are written from left to right, and
// every name begins with one of these.
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u

const FORMS: readonly RegExp[] = [
  /^iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[^:.]+(?:\.[^:.]+)*(?::.+)?$/u,
  /^eui\.[0-9a-f]{16}$/,
  /^naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})$/
]

/** The normal form of an iSCSI name, or undefined when it is none. */
export function normalizeIscsiName(text: string): string | undefined {
  // UTF-16 has no more units than UTF-8 has bytes; a longer text is refused before any work is done on it.
  if (text.length > NAME_LENGTH_MAX) return undefined
  const name = fold(text)
  if (Buffer.byteLength(name) > NAME_LENGTH_MAX) return undefined
  if (!CHARACTERS.test(name) || !LETTERS_MARKS_DIGITS.test(name) || RIGHT_TO_LEFT.test(name)) return undefined
  return FORMS.some((form) => form.test(name)) ? name : undefined
}

/** Lower case twice, because NFKC can give capital letters (™ becomes TM). */
function fold(text: string): string {
  return text.toLowerCase().normalize('NFKC').toLowerCase().normalize('NFKC')
}
