import { describe, expect, it } from '@jest/globals'
import type { SessionEnd } from '../../lib/iscsi/directory.js'
import type { SessionView } from '../../lib/iscsi/portal-group.js'
import { describeEnd, describeEnded, describeLogin, describeRefusal } from '../../lib/target/session-log.js'

const SESSION: SessionView = {
  type: 'Normal',
  initiatorName: 'iqn.x:pc',
  targetName: 'iqn.y:share',
  isid: '400001370001',
  tsih: 1,
  remoteAddress: '192.0.2.7',
  localAddress: '192.0.2.1',
  ageMs: 90_000,
  commands: 3,
  dataInBytes: 2048,
  dataOutBytes: 1024
}

describe('session log', () => {
  it('says who logged in to what from where', () => {
    expect(describeLogin(SESSION)).toBe('iqn.x:pc logged in to iqn.y:share from 192.0.2.7 (ISID 400001370001)')
    expect(describeLogin({ ...SESSION, type: 'Discovery', targetName: undefined })).toContain('which targets there are')
  })

  it('says why and with what amounts a session ended', () => {
    expect(describeEnded(SESSION, { kind: 'logout', reason: 0 }, 3)).toBe(
      'iqn.x:pc left iqn.y:share: logout, reason 0; read 2 KiB, wrote 1 KiB in 1.5 min, at rest after 3 ms'
    )
  })

  it('says who was refused, with the status of the response', () => {
    const refusal = { remoteAddress: '192.0.2.7', initiatorName: 'iqn.x:pc', targetName: undefined, status: 0x0203 }
    expect(describeRefusal({ ...refusal, message: 'no such target' })).toBe(
      'login of iqn.x:pc from 192.0.2.7 refused (0203h): no such target'
    )
  })

  it.each<[SessionEnd, string]>([
    [{ kind: 'logout', reason: 1 }, 'logout, reason 1'],
    [{ kind: 'logout-on-request', reason: 0 }, 'logout that we asked for, reason 0'],
    [{ kind: 'closed' }, 'connection closed without logout'],
    [{ kind: 'lost', cause: 'reset' }, 'connection lost: reset'],
    [{ kind: 'reinstated' }, 'replaced by a new session of the same initiator port'],
    [{ kind: 'stopped' }, 'ended by the server']
  ])('has words for %j', (end, words) => expect(describeEnd(end)).toBe(words))
})
