import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from '@jest/globals'
import { Portal } from '../../lib/iscsi/portal.js'

const open: Portal[] = []
afterEach(async () => {
  for (const portal of open.splice(0)) await portal.close()
})

function portal(host: string, port: number, accept: (socket: Socket) => void = () => {}): Portal {
  const one = new Portal(host, port, accept)
  open.push(one)
  return one
}

describe('a portal', () => {
  it('listens on a free port when 0 is asked for, and says which', async () => {
    const sockets: Socket[] = []
    const one = portal('127.0.0.1', 0, (socket) => sockets.push(socket))
    const { address, port } = await one.listen()
    expect(address).toBe('127.0.0.1')
    const client = connect(port, address)
    await once(client, 'connect')
    while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve))
    // No byte is read before its connection is ready for it.
    expect(sockets[0]!.isPaused()).toBe(true)
    client.destroy()
    sockets[0]!.destroy()
  })

  it('says what to do when the port is taken', async () => {
    const { port } = await portal('127.0.0.1', 0).listen()
    await expect(portal('127.0.0.1', port).listen()).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: `Port ${port} on 127.0.0.1 is taken by another program; choose another one with --port.`
    })
  })

  it('says what is wrong with an address that is not of this computer', async () => {
    await expect(portal('192.0.2.1', 0).listen()).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' })
  })

  it('accepts nobody any more when it has stopped, and may be closed twice', async () => {
    const one = portal('127.0.0.1', 0)
    const { port } = await one.listen()
    one.stopListening()
    one.stopListening()
    const client = connect(port, '127.0.0.1')
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
    await one.close()
  })
})
