import { LoginStatus, RejectReason } from '../../pdu/codes.js'
import { PduError } from '../../pdu/errors.js'
import { parseBoolean, parseList, parseNumber, type TextPair, type TextParameters } from '../../pdu/text.js'
import { LoginError } from '../errors.js'
import type { OfferedParameters, SessionParameters } from '../parameters.js'
import { keys, type BooleanKey, type DeclaredNumberKey, type Key, type ListKey, type NumberKey } from './keys.js'
import { quote } from './quote.js'
import { firstSupported } from './results.js'

/**
 * The responder's half of RFC 7143 §6.2 over the table in keys.ts. We answer what was proposed and propose nothing.
 *
 * A value that is not admissible (no number, out of its range, no Yes or No, nothing of the list supported) is answered
 * with Reject, as §6.2.2 allows, and the default stays in force. A bad declaration has no answer that could say so, and
 * going on would mean to guess what the peer can take, so it ends the login with 0200h.
 */
export interface Negotiation {
  readonly offer: OfferedParameters
  readonly discovery: boolean
  /** What is settled; starts with the defaults. */
  readonly parameters: SessionParameters
  /** What the initiator itself proposed, by key, for rules that tie two keys. */
  readonly proposed: Map<string, number>
}

/** Answers that are no values (§6.2); a proposal must not use them. */
const ANSWERS_ONLY: readonly string[] = ['Reject', 'Irrelevant', 'NotUnderstood']

/** Whether the text answers something that we declared, rather than proposing anything: it gets no answer itself. */
export function isAnswerOnly(value: string): boolean {
  return ANSWERS_ONLY.includes(value)
}

/**
 * Settles the operational keys of one login text in `negotiation` and gives the answers. Keys that belong to the
 * security stage or to the login itself must have been taken out.
 * @throws LoginError when the login cannot go on
 */
export function negotiate(pairs: TextParameters, negotiation: Negotiation): TextPair[] {
  const answers: TextPair[] = []
  for (const [name, value] of burstsInOrder(pairs)) {
    const answer = answerTo(keys.get(name), name, value, negotiation)
    if (answer !== undefined) answers.push([name, answer])
  }
  checkBursts(negotiation)
  return answers
}

/**
 * The answers to a Text Request in full feature phase. Only MaxRecvDataSegmentLength may be declared again, and takes
 * effect in `parameters` at once; whatever belongs to the login is answered with Reject. SendTargets is the caller's
 * to take out.
 * @throws PduError when a declaration cannot be used
 */
export function negotiateText(pairs: TextParameters, parameters: SessionParameters): TextPair[] {
  const answers: TextPair[] = []
  for (const [name, value] of pairs) {
    const answer = answerToText(keys.get(name), value, parameters)
    if (answer !== undefined) answers.push([name, answer])
  }
  return answers
}

function answerToText(key: Key | undefined, value: string, parameters: SessionParameters): string | undefined {
  if (isAnswerOnly(value)) return undefined
  if (key === undefined) return 'NotUnderstood'
  if (key.kind === 'declared-number') return declareAgain(key, value, parameters)
  return key.use === 'ALL' && key.sender === 'initiator' ? undefined : 'Reject'
}

function declareAgain(key: DeclaredNumberKey, value: string, parameters: SessionParameters): undefined {
  const number = admissible(key, value)
  if (number === undefined) {
    throw new PduError('ERR_ISCSI_TEXT', RejectReason.ProtocolError, `${key.name}=${quote(value)} is out of range`)
  }
  parameters[key.parameter] = number
}

function answerTo(key: Key | undefined, name: string, value: string, negotiation: Negotiation): string | undefined {
  if (key === undefined) return isAnswerOnly(value) ? undefined : 'NotUnderstood'
  if (isAnswerOnly(value)) throw initiatorError(`${name}=${value} is an answer and no proposal`)
  if (key.irrelevantInDiscovery && negotiation.discovery) return 'Irrelevant'
  switch (key.kind) {
    case 'number':
      return answerNumber(key, value, negotiation)
    case 'boolean':
      return answerBoolean(key, value, negotiation)
    case 'list':
      return answerList(key, value, negotiation)
    case 'declared-number':
      return declare(key, value, negotiation)
    case 'obsolete':
      return key.answer
    case 'text':
      return 'Reject'
  }
}

function answerNumber(key: NumberKey, value: string, negotiation: Negotiation): string {
  const theirs = admissible(key, value)
  if (theirs === undefined) return 'Reject'
  negotiation.proposed.set(key.name, theirs)
  const result = key.result(theirs, Math.min(key.ours(negotiation.offer), boundOf(key, negotiation)))
  if (key.parameter !== undefined) negotiation.parameters[key.parameter] = result
  return String(result)
}

function answerBoolean(key: BooleanKey, value: string, negotiation: Negotiation): string {
  const theirs = parseBoolean(value)
  if (theirs === undefined) return 'Reject'
  const result = key.result(theirs, key.ours(negotiation.offer))
  if (key.parameter !== undefined) negotiation.parameters[key.parameter] = result
  return result ? 'Yes' : 'No'
}

function answerList(key: ListKey, value: string, negotiation: Negotiation): string {
  const result = firstSupported(parseList(value) ?? [], key.ours(negotiation.offer))
  if (result === undefined) return 'Reject'
  if (key.parameter !== undefined) negotiation.parameters[key.parameter] = result !== 'None'
  return result
}

function declare(key: DeclaredNumberKey, value: string, negotiation: Negotiation): undefined {
  const number = admissible(key, value)
  if (number === undefined) throw initiatorError(`${key.name}=${quote(value)} is out of range`)
  negotiation.parameters[key.parameter] = number
}

function admissible(key: NumberKey | DeclaredNumberKey, value: string): number | undefined {
  const number = parseNumber(value)
  return number !== undefined && number >= key.min && number <= key.max ? number : undefined
}

// RFC 7143 §13.14: FirstBurstLength MUST NOT exceed MaxBurstLength. Both are minima and our own first burst is not the
// longer one, so proposals that keep the rule give results that keep it, in whatever order and texts they come. What
// remains is a peer that proposes one of them only, against the default of the other.

/** MaxBurstLength before FirstBurstLength, so that the answer to the second knows the result of the first. */
function burstsInOrder(pairs: TextParameters): TextParameters {
  const first = pairs.findIndex(([name]) => name === 'FirstBurstLength')
  const burst = pairs.findIndex(([name]) => name === 'MaxBurstLength')
  if (first < 0 || burst < first) return pairs
  return pairs.with(first, pairs[burst]!).with(burst, pairs[first]!)
}

function boundOf(key: NumberKey, negotiation: Negotiation): number {
  return key.name === 'FirstBurstLength' ? negotiation.parameters.maxBurstLength : Infinity
}

function checkBursts({ proposed, parameters }: Negotiation): void {
  const first = proposed.get('FirstBurstLength')
  const burst = proposed.get('MaxBurstLength')
  if (first !== undefined && burst !== undefined && first > burst) {
    throw initiatorError(`FirstBurstLength=${first} is above MaxBurstLength=${burst}`)
  }
  parameters.firstBurstLength = Math.min(parameters.firstBurstLength, parameters.maxBurstLength)
}

function initiatorError(message: string): LoginError {
  return new LoginError(LoginStatus.InitiatorError, message)
}
