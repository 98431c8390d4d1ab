/** SPC-4 §7.6.4.6: TransportID of an iSCSI initiator port, format 01b (name, separator and ISID). */
const ISCSI_PORT_FORMAT = 0x45
const HEADER_LENGTH = 4
/** The standard's least ADDITIONAL LENGTH. */
const MIN_NAME_LENGTH = 20

/** @param initiatorPort - `name,i,0xISID` */
export function iscsiTransportId(initiatorPort: string): Buffer {
  const name = Buffer.from(`${initiatorPort}\0`, 'utf8')
  const length = Math.max(MIN_NAME_LENGTH, Math.ceil(name.length / 4) * 4)
  const id = Buffer.alloc(HEADER_LENGTH + length)
  id[0] = ISCSI_PORT_FORMAT
  id.writeUInt16BE(length, 2)
  name.copy(id, HEADER_LENGTH)
  return id
}
