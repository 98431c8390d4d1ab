import { scsiCommand } from '../pdu/initiator.js'
import { Opcode, OPCODE_MASK } from '../pdu/opcodes.js'
import { lunNumber } from '../scsi/lun.js'
import { ByteBudget, ByteShare } from '../util/byte-budget.js'
import { HELD_BYTES_MAX } from './limits.js'
import { serialLess } from './serial.js'

/**
 * Commands that came before the CmdSN they have to follow, and the unsolicited data that came behind them. With one
 * connection a gap arises only when a PDU was rejected for its digest, or from a broken initiator. Bounded in bytes;
 * in number by the command window.
 */
export class HeldCommands {
  private readonly byCmdSn = new Map<number, Held>()
  private readonly byTag = new Map<number, Held>()
  private bytes = 0

  /** @param waiting - what the session may have waiting in all */
  constructor(private readonly waiting = new ByteShare(new ByteBudget(HELD_BYTES_MAX), 0)) {}

  get size(): number {
    return this.byCmdSn.size
  }

  /** @returns false when it is held already, or too much is: then the PDU is ignored */
  hold(cmdSn: number, tag: number, pdu: Buffer): boolean {
    if (this.byCmdSn.has(cmdSn) || !this.count(pdu.length)) return false
    const held = { cmdSn, tag, pdus: [pdu] }
    this.byCmdSn.set(cmdSn, held)
    this.byTag.set(tag, held)
    return true
  }

  /** Data of a held command; false when its command is not held. */
  holdData(tag: number, pdu: () => Buffer): boolean {
    const held = this.byTag.get(tag)
    if (!held) return false
    const bytes = pdu()
    if (this.count(bytes.length)) held.pdus.push(bytes)
    return true
  }

  /** The command with this CmdSN was aborted before it came: the gap closes without it. */
  skip(cmdSn: number): void {
    this.take(cmdSn)
    this.byCmdSn.set(cmdSn, { cmdSn, tag: -1, pdus: [] })
  }

  /**
   * The SCSI commands of this LUN (of all, when undefined) before this CmdSN were aborted together: none of them may run
   * when its gap closes, and their tags are free at once.
   */
  skipCommands(lun: number | undefined, before: number): void {
    for (const { cmdSn, pdus } of [...this.byCmdSn.values()]) {
      if (serialLess(cmdSn, before) && isCommandTo(lun, pdus[0])) this.skip(cmdSn)
    }
  }

  /** The PDUs of the command with this CmdSN, in order, no longer held; undefined when there is none. */
  take(cmdSn: number): readonly Buffer[] | undefined {
    const held = this.byCmdSn.get(cmdSn)
    if (!held) return undefined
    this.byCmdSn.delete(cmdSn)
    // Two of them may have come with the same tag; the later one is found by it.
    if (this.byTag.get(held.tag) === held) this.byTag.delete(held.tag)
    for (const pdu of held.pdus) {
      this.bytes -= pdu.length
      this.waiting.give(pdu.length)
    }
    return held.pdus
  }

  /** The session ends: none of them will ever run. */
  clear(): void {
    for (const cmdSn of [...this.byCmdSn.keys()]) this.take(cmdSn)
  }

  private count(length: number): boolean {
    if (this.bytes + length > HELD_BYTES_MAX || !this.waiting.take(length)) return false
    this.bytes += length
    return true
  }
}

function isCommandTo(lun: number | undefined, pdu: Buffer | undefined): boolean {
  if (!pdu || (pdu[0]! & OPCODE_MASK) !== Opcode.ScsiCommand) return false
  return lun === undefined || lunNumber(pdu, scsiCommand.offsets.lun) === lun
}

interface Held {
  readonly cmdSn: number
  readonly tag: number
  readonly pdus: Buffer[]
}
