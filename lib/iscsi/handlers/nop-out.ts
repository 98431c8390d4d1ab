import { RESERVED_TAG } from '../../pdu/bhs.js'
import { nopOut } from '../../pdu/initiator.js'
import { Opcode } from '../../pdu/opcodes.js'
import { nopIn } from '../../pdu/target.js'
import { SENT_DATA_LENGTH_MAX } from '../../pdu/writer.js'
import type { Connection } from '../connection.js'
import type { PduHandler, PduInPlace } from '../full-feature.js'
import type { Session } from '../session.js'

const view = nopOut.view()

/** NOP-Out, RFC 7143 §11.18: a ping of the initiator's, or its answer to ours. */
export const nopOutHandler: PduHandler = {
  opcode: Opcode.NopOut,
  carriesCmdSn: true,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    view.at(pdu.ring, pdu.bhs)
    const tag = view.initiatorTaskTag
    if (tag === RESERVED_TAG) {
      // An answer; or nothing at all, which only confirms ExpStatSN.
      connection.pingAnswered(view.targetTransferTag)
      return
    }
    // RFC 7143 §11.19: the data comes back, as much of it as the initiator can take.
    const { maxSendDataSegmentLength } = session.parameters
    const length = Math.min(pdu.dataLength, maxSendDataSegmentLength, SENT_DATA_LENGTH_MAX)
    const data = Buffer.from(pdu.ring.subarray(pdu.dataOffset, pdu.dataOffset + length))
    connection.send(() => answer(connection, session, tag, data))
  }
}

function answer(connection: Connection, session: Session, tag: number, data: Buffer): boolean {
  const { writer } = connection
  const offset = writer.begin(data.length)
  if (offset < 0) return false
  const reply = nopIn.view().at(writer.buffer, offset)
  reply.opcode = Opcode.NopIn
  reply.flags = 0x80
  reply.initiatorTaskTag = tag
  // RFC 7143 §11.19.1, §11.19.4: no tag of ours, since we want no answer, and therefore no LUN either.
  reply.targetTransferTag = RESERVED_TAG
  reply.statSn = connection.takeStatSn()
  reply.expCmdSn = session.expCmdSn
  reply.maxCmdSn = session.maxCmdSn
  data.copy(writer.buffer, writer.dataOffset)
  writer.end(data.length)
  return true
}
