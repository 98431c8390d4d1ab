import { isIP } from 'node:net'
import { shellWord } from '../quote.js'
import { SECRET_FILE, type Share } from './share.js'

/** One line that boots a virtual machine from the disk; its options are those of `qemu-img --image-opts` too. */
export function startQemu(share: Share): string {
  const secret = share.chapUser === undefined ? '' : ` -object secret,id=cloudx,file=${SECRET_FILE}`
  return `qemu-system-x86_64 -m 2G${secret} -drive ${shellWord(`${imageOptions(share)},if=virtio`)}`
}

function imageOptions({ targetName, host, port, chapUser }: Share): string {
  const portal = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
  const options = ['driver=iscsi', 'transport=tcp', `portal=${portal}`, `target=${value(targetName)}`, 'lun=0']
  if (chapUser !== undefined) options.push(`user=${value(chapUser)}`, 'password-secret=cloudx')
  return options.join(',')
}

/** A comma in a value is written twice (qemu(1), -drive). */
function value(text: string): string {
  return text.replaceAll(',', ',,')
}
