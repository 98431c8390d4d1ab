import { LoginStatus } from '../../pdu/codes.js'
import { parseList, type TextPair } from '../../pdu/text.js'
import { LoginError } from '../errors.js'
import { Chap, type ChapOptions } from './chap.js'
import { quote } from './quote.js'
import { firstSupported } from './results.js'

/**
 * The SecurityNegotiation stage, RFC 7143 §6.3.2 and §12: first AuthMethod, then, when that is CHAP, its two rounds.
 *
 * Which methods are allowed is the server's rule: CHAP alone where it is required, None alone where no secret is known
 * to compare with, both where CHAP is optional. Among those the initiator's order decides (§6.2.1).
 */
type State = 'method' | 'algorithm' | 'response' | 'done'

/** The keys that this stage takes, with their values as sent. */
export type SecurityKeys = ReadonlyMap<string, string>

export class SecurityStage {
  /** The name that was proved; undefined without CHAP. */
  chapName: string | undefined
  /** The name that was to be proved. */
  triedChapName: string | undefined

  private state: State = 'method'
  private readonly chap: Chap

  constructor(private readonly options: ChapOptions) {
    this.chap = new Chap(options)
  }

  /** Whether the initiator may leave the stage. */
  get isComplete(): boolean {
    return this.state === 'done' || (this.state === 'method' && !this.options.policy.required)
  }

  /** Whether it can still become complete without a word on AuthMethod. */
  get waitsForMethod(): boolean {
    return this.state === 'method' && this.options.policy.required
  }

  /**
   * Takes the keys of one text and gives the answers.
   * @throws LoginError when authentication fails
   */
  negotiate(keys: SecurityKeys): TextPair[] {
    const answers: TextPair[] = []
    const rest = new Map(keys)
    if (rest.has('AuthMethod')) answers.push(['AuthMethod', this.chooseMethod(taken(rest, 'AuthMethod'))])
    if (rest.size === 0) return answers
    return [...answers, ...this.authenticate(rest)]
  }

  private chooseMethod(list: string): string {
    if (this.state !== 'method') throw failure('AuthMethod comes a second time')
    const allowed = firstSupported(parseList(list) ?? [], allowedMethods(this.options.policy))
    if (!allowed) throw failure(`no method of AuthMethod=${quote(list)} is allowed here`)
    this.state = allowed === 'CHAP' ? 'algorithm' : 'done'
    return allowed
  }

  private authenticate(rest: Map<string, string>): TextPair[] {
    if (this.state === 'algorithm' && rest.size === 1 && rest.has('CHAP_A')) {
      this.state = 'response'
      return this.chap.challenge(taken(rest, 'CHAP_A'))
    }
    if (this.state !== 'response' || rest.has('CHAP_A')) throw failure(`${[...rest.keys()].join(', ')} out of turn`)
    this.triedChapName = rest.get('CHAP_N')
    const { chapName, answers } = this.chap.verify({
      name: rest.get('CHAP_N'),
      response: rest.get('CHAP_R'),
      identifier: rest.get('CHAP_I'),
      challenge: rest.get('CHAP_C')
    })
    this.chapName = chapName
    this.state = 'done'
    return answers
  }
}

function allowedMethods({ required, available }: ChapOptions['policy']): readonly string[] {
  if (required) return ['CHAP']
  return available ? ['CHAP', 'None'] : ['None']
}

function taken(keys: Map<string, string>, name: string): string {
  const value = keys.get(name)!
  keys.delete(name)
  return value
}

function failure(message: string): LoginError {
  return new LoginError(LoginStatus.AuthenticationFailure, message)
}
