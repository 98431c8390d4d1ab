import { FLAG_FINAL, RESERVED_TAG } from '../../pdu/bhs.js'
import { RejectReason } from '../../pdu/codes.js'
import { PduError } from '../../pdu/errors.js'
import { FLAG_CONTINUE, textRequest } from '../../pdu/initiator.js'
import { Opcode } from '../../pdu/opcodes.js'
import { textResponse } from '../../pdu/target.js'
import { formatText, parseText, type TextPair } from '../../pdu/text.js'
import { SENT_DATA_LENGTH_MAX } from '../../pdu/writer.js'
import type { Connection } from '../connection.js'
import type { PduHandler, PduInPlace } from '../full-feature.js'
import { normalizeIscsiName } from '../login/names.js'
import { negotiateText } from '../login/negotiate.js'
import type { Session } from '../session.js'

const view = textRequest.view()

/** What one connection has of an exchange of texts: the request so far, or the rest of the answer. */
export interface TextExchange {
  readonly initiatorTaskTag: number
  readonly targetTransferTag: number
  request: Buffer
  answer: Buffer | undefined
}

/**
 * Text, RFC 7143 §11.10: SendTargets, and the few keys that may change in full feature phase. Requests and answers may
 * take several PDUs; a request with the reserved TargetTransferTag starts anew.
 */
export const textHandler: PduHandler = {
  opcode: Opcode.TextRequest,
  carriesCmdSn: true,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    view.at(pdu.ring, pdu.bhs)
    const reject = (reason: RejectReason) => connection.rejectPdu(reason, pdu.ring, pdu.bhs)
    const tag = view.initiatorTaskTag
    const goesOn = (view.flags & FLAG_CONTINUE) !== 0
    if (tag === RESERVED_TAG || (goesOn && (view.flags & FLAG_FINAL) !== 0)) return reject(RejectReason.InvalidPduField)
    if (view.targetTransferTag === RESERVED_TAG) session.text = begin(session, tag)
    const exchange = session.text
    if (!exchange || exchange.initiatorTaskTag !== tag) return reject(RejectReason.InvalidPduField)
    if (view.targetTransferTag !== RESERVED_TAG && view.targetTransferTag !== exchange.targetTransferTag) {
      return reject(RejectReason.InvalidPduField)
    }
    if (exchange.answer) return answerNext(connection, session, exchange)
    if (exchange.request.length + pdu.dataLength > connection.host.limits.textBytes) {
      session.text = undefined
      return reject(RejectReason.ProtocolError)
    }
    const data = pdu.ring.subarray(pdu.dataOffset, pdu.dataOffset + pdu.dataLength)
    exchange.request = Buffer.concat([exchange.request, data])
    if (goesOn) return send(connection, session, exchange, Buffer.alloc(0), 0)
    try {
      exchange.answer = formatText(answerTo(connection, session, exchange.request))
    } catch (error) {
      session.text = undefined
      if (error instanceof PduError) return reject(error.reason)
      throw error
    }
    answerNext(connection, session, exchange)
  }
}

function begin(session: Session, initiatorTaskTag: number): TextExchange {
  const targetTransferTag = session.transferTag()
  return { initiatorTaskTag, targetTransferTag, request: Buffer.alloc(0), answer: undefined }
}

function answerTo(connection: Connection, session: Session, request: Buffer): TextPair[] {
  const pairs = parseText(request, 0, request.length)
  const targets: TextPair[] = []
  const others: TextPair[] = []
  for (const pair of pairs) {
    if (pair[0] === 'SendTargets') targets.push(...sendTargets(connection, session, pair[1]))
    else if (session.type !== 'Discovery' && /^sendtargets/i.test(pair[0])) throw badSendTargets()
    else others.push(pair)
  }
  if (others.length === 0) return targets
  return [...targets, ...negotiateText(others, session.parameters)]
}

/**
 * RFC 7143 appendix C: `All` in a discovery session, a name, or nothing for the target of this session. In a normal
 * session `All` is no more than that target: initiators ask so, and other targets answer.
 */
function sendTargets(connection: Connection, session: Session, which: string): TextPair[] {
  const { directory } = connection.host
  const { remoteAddress, localAddress, localPort } = connection.socket
  const request = { initiatorName: session.initiatorName, targetName: undefined, remoteAddress }
  const visible = directory.visibleTargets(request)
  const all = which === 'All' && session.type === 'Discovery'
  const name = which === 'All' || which === '' ? session.targetName : which
  const wanted = all ? visible : visible.filter((one) => one === name)
  if (wanted.length === 0 && session.type !== 'Discovery' && !normalizeIscsiName(which)) throw badSendTargets()
  const address = `${directory.advertisedAddress(localAddress, localPort)},${directory.targetPortalGroupTag}`
  return wanted.flatMap((name): TextPair[] => [
    ['TargetName', name],
    ['TargetAddress', address]
  ])
}

/** Whoever misspells it would take any other answer for one that names no target. */
function badSendTargets(): PduError {
  return new PduError('ERR_ISCSI_TEXT', RejectReason.InvalidPduField, 'a SendTargets that asks for nothing known')
}

/** The next part of the answer, as much as one PDU takes. */
function answerNext(connection: Connection, session: Session, exchange: TextExchange): void {
  const limit = Math.min(session.parameters.maxSendDataSegmentLength, SENT_DATA_LENGTH_MAX)
  const part = exchange.answer!.subarray(0, limit)
  exchange.answer = exchange.answer!.subarray(part.length)
  const last = exchange.answer.length === 0
  if (last) session.text = undefined
  send(connection, session, exchange, part, last ? FLAG_FINAL : FLAG_CONTINUE)
}

function send(connection: Connection, session: Session, exchange: TextExchange, data: Buffer, flags: number): void {
  connection.send(() => {
    const { writer } = connection
    const offset = writer.begin(data.length)
    if (offset < 0) return false
    const reply = textResponse.view().at(writer.buffer, offset)
    reply.opcode = Opcode.TextResponse
    reply.flags = flags
    reply.initiatorTaskTag = exchange.initiatorTaskTag
    // RFC 7143 §11.11.4: a final answer has the reserved tag.
    reply.targetTransferTag = (flags & FLAG_FINAL) !== 0 ? RESERVED_TAG : exchange.targetTransferTag
    reply.statSn = connection.takeStatSn()
    reply.expCmdSn = session.expCmdSn
    reply.maxCmdSn = session.maxCmdSn
    data.copy(writer.buffer, writer.dataOffset)
    writer.end(data.length)
    return true
  })
}
