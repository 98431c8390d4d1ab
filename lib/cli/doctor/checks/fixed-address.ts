import { originOf } from '../../host/lease.js'
import { powerShellText, shellWord } from '../../quote.js'
import { commandFor, ok, problem, unknown, type Check } from '../check.js'

export const fixedAddress: Check = {
  name: 'fixed-address',
  async examine(situation) {
    const { system, text, address: own } = situation
    if (own === undefined) {
      return problem(
        text.noNetwork,
        commandFor(situation, { win32: 'ipconfig', darwin: 'ifconfig', linux: 'ip address' })
      )
    }
    const { address, interfaceName } = own
    const origin = await originOf(system, interfaceName, address)
    if (origin === 'fixed') return ok(text.addressFixed(address))
    if (origin === undefined) {
      const word = shellWord(interfaceName)
      const show = {
        win32: 'ipconfig /all',
        darwin: `ipconfig getpacket ${word}`,
        linux: `ip address show dev ${word}`
      }
      return unknown(text.addressUnknown(address), commandFor(situation, show))
    }
    return problem(text.addressLent(address), commandFor(situation, keep(address, interfaceName)))
  }
}

/** The address as it is, with gateway and name servers as they are, from now on without the router. */
function keep(address: string, interfaceName: string) {
  const alias = powerShellText(interfaceName)
  const device = shellWord(interfaceName)
  const service = `"$(networksetup -listallhardwareports | awk -v d=${device} '/^Hardware Port/{p=substr($0,16)} $2==d{print p}')"`
  return {
    win32:
      `$g = (Get-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias ${alias}).NextHop; ` +
      `$d = (Get-DnsClientServerAddress -InterfaceAlias ${alias} -AddressFamily IPv4).ServerAddresses; ` +
      `netsh interface ipv4 set address name=${alias} static ${address} 255.255.255.0 $g; ` +
      `Set-DnsClientServerAddress -InterfaceAlias ${alias} -ServerAddresses $d`,
    darwin: `sudo networksetup -setmanualwithdhcprouter ${service} ${address}`,
    linux:
      `sudo nmcli device modify ${device} ipv4.method manual ipv4.addresses "$(nmcli -g IP4.ADDRESS device show ${device})" ` +
      `ipv4.gateway "$(nmcli -g IP4.GATEWAY device show ${device})" ipv4.dns "$(nmcli -g IP4.DNS device show ${device} | tr '|' ',')"`
  }
}
