import { createHash, timingSafeEqual } from 'node:crypto'
import { LoginStatus } from '../../pdu/codes.js'
import { formatBinary, parseBinary, parseList, parseNumber, type TextPair } from '../../pdu/text.js'
import type { ChapPolicy } from '../directory.js'
import { LoginError } from '../errors.js'
import { quote } from './quote.js'

/**
 * The target's side of CHAP (RFC 1994, RFC 7143 §12.1.3), one-way and mutual:
 *
 *     initiator                         target
 *     CHAP_A=8,7,6,5          →
 *                             ←         CHAP_A=7 CHAP_I=… CHAP_C=…
 *     CHAP_N=… CHAP_R=…       →                                       the initiator is proved
 *     [CHAP_I=… CHAP_C=…]     ←         [CHAP_N=… CHAP_R=…]           the target is proved
 *
 * CHAP_A lists algorithms in the initiator's order of preference (§12.1.3), and we take the first that we have: whoever
 * puts MD5 first may name others that it cannot do, and who can do better says so first. The challenge is as long as the digest, 16 bytes with MD5, since Windows takes no long one.
 *
 * What keeps it honest: a name that nobody has costs the same work as a wrong response, comparison takes constant time,
 * our own response is given to an initiator that has proved itself and to nobody else, a challenge that we have sent
 * ourselves is never answered, and both directions must have secrets of their own. No message holds a secret, a
 * challenge or a response.
 */
interface Algorithm {
  /** The number in CHAP_A. */
  readonly number: number
  /** The name that OpenSSL has for it. */
  readonly hash: string
  readonly digestLength: number
}

/** MD5 is missing in builds of Node that follow FIPS 140. */
const ALGORITHMS: readonly Algorithm[] = [
  { number: 8, hash: 'sha3-256', digestLength: 32 },
  { number: 7, hash: 'sha256', digestLength: 32 },
  { number: 6, hash: 'sha1', digestLength: 20 },
  { number: 5, hash: 'md5', digestLength: 16 }
].filter(({ hash }) => isAvailable(hash))

/** Bytes of CHAP_C, RFC 7143 §12.1.3. */
const CHALLENGE_LENGTH_MAX = 1024
/** Bytes of CHAP_N: a simple value, §6.1. */
const CHAP_NAME_LENGTH_MAX = 255
/** Challenges that are remembered; a login ends within seconds, so the oldest are long past use. */
const ISSUED_MAX = 4096

/** What the initiator sends to prove itself, and to ask for our proof. */
export interface ChapAnswer {
  readonly name: string | undefined
  readonly response: string | undefined
  readonly identifier: string | undefined
  readonly challenge: string | undefined
}

export interface ChapOptions {
  readonly policy: ChapPolicy
  readonly randomBytes: (length: number) => Buffer
  /** Shared by all logins of a server. */
  readonly issued: IssuedChallenges
  /** May somebody try to prove this name now? Everybody may when it is left out. */
  readonly mayProve?: (chapName: string) => boolean
}

/** The challenges that this server sent lately, on any connection: none of them may come back as a question. */
export class IssuedChallenges {
  private readonly challenges = new Set<string>()

  add(challenge: Buffer): void {
    this.challenges.add(challenge.toString('hex'))
    if (this.challenges.size <= ISSUED_MAX) return
    const [oldest] = this.challenges
    this.challenges.delete(oldest!)
  }

  has(challenge: Buffer): boolean {
    return this.challenges.has(challenge.toString('hex'))
  }
}

/** One authentication. Call {@link challenge} once, then {@link verify} once. */
export class Chap {
  private algorithm: Algorithm | undefined
  private identifier = 0
  private sent: Buffer = Buffer.alloc(0)

  constructor(private readonly options: ChapOptions) {}

  /**
   * Answers the list of CHAP_A.
   * @throws LoginError when no algorithm fits
   */
  challenge(list: string): TextPair[] {
    const numbers = (parseList(list) ?? []).map(parseNumber)
    const known = numbers.map((wanted) => ALGORITHMS.find(({ number }) => number === wanted))
    const algorithm = known.find((one) => one !== undefined)
    if (!algorithm) throw failure(`no algorithm of CHAP_A=${quote(list)} is supported`)
    const { randomBytes, issued } = this.options
    this.algorithm = algorithm
    this.identifier = randomBytes(1)[0]!
    this.sent = randomBytes(algorithm.digestLength)
    issued.add(this.sent)
    return [
      ['CHAP_A', String(algorithm.number)],
      ['CHAP_I', String(this.identifier)],
      ['CHAP_C', formatBinary(this.sent)]
    ]
  }

  /**
   * Checks the initiator's proof and gives ours when it asks for it.
   * @returns the name that was proved, and the answers
   * @throws LoginError when the proof fails
   */
  verify(answer: ChapAnswer): { chapName: string; answers: TextPair[] } {
    const name = answer.name
    if (name === undefined || answer.response === undefined) throw failure('CHAP_N or CHAP_R is missing')
    if (name === '' || Buffer.byteLength(name) > CHAP_NAME_LENGTH_MAX) throw failure(`CHAP_N=${quote(name)} is no name`)
    // Not a failure: who is refused for the guesses of others may come again.
    if (this.options.mayProve?.(name) === false) {
      throw new LoginError(LoginStatus.ServiceUnavailable, `too many have failed as ${quote(name)} in the last second`)
    }
    const secret = this.options.policy.initiatorSecret(name)
    if (!this.proves(answer.response, secret)) throw failure(`CHAP failed for ${quote(name)}`)
    return { chapName: name, answers: this.prove(answer, name, secret!) }
  }

  /** Without a secret the same is computed with a random one, so that time does not tell which names exist. */
  private proves(text: string, secret: Buffer | undefined): boolean {
    const algorithm = this.algorithm!
    const { digestLength } = algorithm
    const response = parseBinary(text, digestLength)
    const matchable = response?.length === digestLength ? response : Buffer.alloc(digestLength)
    const expected = digest(algorithm, this.identifier, secret ?? this.options.randomBytes(digestLength), this.sent)
    const equal = timingSafeEqual(expected, matchable)
    return equal && secret !== undefined && response?.length === digestLength
  }

  private prove(answer: ChapAnswer, name: string, initiatorSecret: Buffer): TextPair[] {
    if (answer.identifier === undefined && answer.challenge === undefined) return []
    const mutual = this.options.policy.mutual
    if (!mutual) throw failure(`${quote(name)} asks the target to prove itself, and no secret is set for that`)
    // RFC 7143 §12.1.3: with one secret for both directions an initiator could have us answer our own question.
    if (mutual.secret.equals(initiatorSecret)) throw failure(`${quote(name)} has the same secret as the target`)
    const identifier = parseNumber(answer.identifier ?? '')
    if (identifier === undefined || identifier > 255) throw failure('CHAP_I is missing or no byte')
    const challenge = parseBinary(answer.challenge ?? '', CHALLENGE_LENGTH_MAX)
    if (!challenge || challenge.length === 0) throw failure('CHAP_C is missing or no binary value of 1 to 1024 bytes')
    if (this.options.issued.has(challenge)) throw failure(`${quote(name)} reflects a challenge of ours`)
    return [
      ['CHAP_N', mutual.chapName],
      ['CHAP_R', formatBinary(digest(this.algorithm!, identifier, mutual.secret, challenge))]
    ]
  }
}

/** RFC 1994 §4.1: the hash of identifier, secret and challenge. */
function digest({ hash }: Algorithm, identifier: number, secret: Buffer, challenge: Buffer): Buffer {
  return createHash(hash).update(Buffer.of(identifier)).update(secret).update(challenge).digest()
}

function isAvailable(hash: string): boolean {
  try {
    createHash(hash)
    return true
  } catch {
    return false
  }
}

function failure(message: string): LoginError {
  return new LoginError(LoginStatus.AuthenticationFailure, message)
}
