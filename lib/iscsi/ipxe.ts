/** An ISID of type 01b with the enterprise number 10019; the two bytes behind it are drawn anew at each open. */
const IPXE_ISID = '40002723'

/** iPXE, which boots a system and never logs out. @param isid - 6 bytes in hex */
export function isIpxe(isid: string): boolean {
  return isid.startsWith(IPXE_ISID)
}
