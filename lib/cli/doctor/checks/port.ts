import { commandFor, ok, problem, type Check } from '../check.js'

export const port: Check = {
  name: 'port',
  async examine(situation) {
    const { text, hosts, port: number, address, probe } = situation
    const adapters = { win32: 'ipconfig', darwin: 'ifconfig', linux: 'ip address' }
    for (const host of hosts) {
      const own = /^(0\.0\.0\.0|::)$/.test(host) ? address?.address : host
      if (own === undefined) return problem(text.noNetwork, commandFor(situation, adapters))
      const state = await probe(host, number, own)
      if (state === 'taken') {
        const owner = `Get-Process -Id (Get-NetTCPConnection -LocalPort ${number} -State Listen).OwningProcess`
        const commands = {
          win32: owner,
          darwin: `sudo lsof -nP -iTCP:${number} -sTCP:LISTEN`,
          linux: `sudo ss -ltnp 'sport = :${number}'`
        }
        return problem(text.portTaken(number), commandFor(situation, commands))
      }
      if (state === 'forbidden') return problem(text.portForbidden(number), 'cloudx share.img --port 3260')
      if (state === 'no-address') return problem(text.addressMissing(host), 'cloudx share.img --host 0.0.0.0')
      if (state === 'unreachable') {
        const routes = { win32: 'route print', darwin: 'netstat -rn', linux: 'ip route' }
        return problem(text.portUnreachable(own, number), commandFor(situation, routes))
      }
    }
    return ok(text.portFree(number, address?.address ?? hosts[0]!))
  }
}
