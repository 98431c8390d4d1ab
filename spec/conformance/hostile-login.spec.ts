import { describe, expect, it } from '@jest/globals'
import { ATTACKER, besiege } from '../support/besieged.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { loginRequest, logoutRequest, nopOut, scsiCommand, textRequest } from '../support/pdu-builder.js'
import { sendRaw, TEST_UNIT_READY } from '../support/raw-commands.js'
import { pairsOf, type ScriptedInitiator } from '../support/scripted-initiator.js'
import { TARGET_NAME } from '../support/test-target.js'

/** Logins and texts that are broken or want in; see besieged.ts for what is looked at after each. */
const INITIATOR = `InitiatorName=${ATTACKER}`
const NAMES = [INITIATOR, `TargetName=${TARGET_NAME}`]
const FIRST = [...NAMES, 'AuthMethod=None']
/** T, security to operational; operational to full feature. */
const TO_OPERATIONAL = 0x81
const TO_FULL_FEATURE = 0x87

describe('a target that asks for no secret', () => {
  const siege = besiege(() => ({ targets: TARGETS }))
  const TARGETS = [TARGET_NAME, ...Array.from({ length: 199 }, (_unused, index) => `iqn.2010-04.org.example:t${index}`)]

  describe('RFC 7143 §6.3: a first PDU', () => {
    it.each([
      ['a SCSI Command', scsiCommand({ cdb: TEST_UNIT_READY })],
      ['a Text Request', textRequest({ data: 'SendTargets=All\0' })],
      ['a NOP-Out', nopOut()],
      ['a Logout Request', logoutRequest()]
    ])('that is %s closes the connection', async (_what, pdu) => {
      const initiator = await siege.connect()
      await initiator.send(pdu)
      await initiator.closed()
    })
  })

  describe('RFC 7143 §6.3.1, §11.12: a stage', () => {
    it.each([
      ['CSG 2', 0x88],
      ['NSG 2', 0x82],
      ['NSG before CSG', 0x84],
      ['NSG equal to CSG', 0x85],
      ['CSG 3', 0x8f],
      ['T with C', 0xc1]
    ])('%s ends the login with 0200h', async (_what, flags) => {
      expect(await siege.tryLogin({ flags, keys: FIRST })).toBe('0200')
    })
  })

  describe('RFC 7143 §6.2: a text that is never whole', () => {
    it('ends with 0200h at 100 requests, empty or not', async () => {
      const endless = (data: string) => Array.from({ length: 101 }, () => ({ flags: 0x40, data: Buffer.from(data) }))
      expect(await siege.tryLogin(...endless(''))).toBe('0200')
      expect(await siege.tryLogin(...endless('X'))).toBe('0200')
    })

    it('ends with 0200h at 64 KiB', async () => {
      const pieces = Array.from({ length: 9 }, () => ({ flags: 0x40, data: Buffer.alloc(8192, 'k') }))
      expect(await siege.tryLogin(...pieces)).toBe('0200')
    })

    it('is whole with an empty last piece', async () => {
      expect(await siege.tryLogin({ flags: 0x40, keys: FIRST }, { flags: TO_OPERATIONAL, keys: [] })).toBe('0000')
    })
  })

  describe('RFC 7143 §6.1: a text', () => {
    it.each([
      ['without a NUL at its end', `${FIRST.join('\0')}`],
      ['without an equals sign', `${FIRST.join('\0')}\0Yes\0`],
      ['with an empty key', `${FIRST.join('\0')}\0=Yes\0`],
      ['with a key of 64 bytes', `${FIRST.join('\0')}\0${'k'.repeat(64)}=1\0`],
      ['with a byte FFh in a key', `${FIRST.join('\0')}\0k\u00ff=1\0`],
      ['with 10,000 keys', `${FIRST.join('\0')}\0${'a=\0'.repeat(2600)}`]
    ])('%s ends the login with 0200h', async (_what, text) => {
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, data: Buffer.from(text, 'latin1') })).toBe('0200')
    })

    it('with a value of more than 8192 bytes over two PDUs ends with 0200h', async () => {
      const text = Buffer.from(`${FIRST.join('\0')}\0X-long=${'v'.repeat(8193)}\0`)
      const pieces = [
        { flags: 0x40, data: text.subarray(0, 8192) },
        { flags: TO_OPERATIONAL, data: text.subarray(8192) }
      ]
      expect(await siege.tryLogin(...pieces)).toBe('0200')
    })

    it('with unknown keys is answered NotUnderstood, with the key and not the value', async () => {
      const initiator = await siege.connect()
      const keys = [...FIRST, `X-foo=${'v'.repeat(4000)}`, `${'k'.repeat(63)}=1`]
      const answer = await siege.sendLogin(initiator, { flags: TO_OPERATIONAL, keys })
      const pairs = new Map(pairsOf(answer!.data))
      expect([pairs.get('X-foo'), pairs.get('k'.repeat(63))]).toEqual(['NotUnderstood', 'NotUnderstood'])
      expect(answer!.data.length).toBeLessThan(300)
    })

    it('of 5 MB of unknown keys ends with 0200h', async () => {
      const initiator = await siege.connect()
      const one = loginRequest({ flags: 0x40, data: Buffer.from(`X-a=${'v'.repeat(8187)}\0`) })
      for (let count = 0; count < 640; count++) initiator.socket.write(one)
      const statuses: number[] = []
      while (statuses.at(-1) !== 0x0200) statuses.push((await initiator.receiveOpcode(0x23)).bhs.readUInt16BE(36))
      expect(statuses.length).toBeLessThanOrEqual(9)
    })

    it('with the same key twice ends with 0200h', async () => {
      const keys = ['MaxBurstLength=1024', 'MaxBurstLength=1024']
      expect(await siege.tryLogin({ flags: TO_FULL_FEATURE, keys: [...NAMES, ...keys] })).toBe('0200')
    })
  })

  describe('RFC 7143 §6.2.2, §13: a value', () => {
    const LONG = '1'.repeat(8000)
    it.each(['-1', '0', '511', '4294967296', '1e9', '0x', '0xG', '', ' 1', '1 ', '16777216', LONG])(
      'MaxBurstLength=%.20s is answered Reject',
      async (value) => {
        const initiator = await siege.connect()
        const keys = [...NAMES, `MaxBurstLength=${value}`]
        const answer = await siege.sendLogin(initiator, { flags: TO_FULL_FEATURE, keys })
        expect(new Map(pairsOf(answer!.data)).get('MaxBurstLength')).toBe('Reject')
      }
    )

    it.each(['511', '16777216', '-1', '1e9', ''])('MaxRecvDataSegmentLength=%s ends with 0200h', async (value) => {
      const keys = [...NAMES, `MaxRecvDataSegmentLength=${value}`]
      expect(await siege.tryLogin({ flags: TO_FULL_FEATURE, keys })).toBe('0200')
    })

    it('FirstBurstLength above MaxBurstLength ends with 0200h', async () => {
      const keys = [...NAMES, 'MaxBurstLength=1024', 'FirstBurstLength=2048']
      expect(await siege.tryLogin({ flags: TO_FULL_FEATURE, keys })).toBe('0200')
    })

    it('DataPDUInOrder=Maybe is answered Reject', async () => {
      const initiator = await siege.connect()
      const answer = await siege.sendLogin(initiator, {
        flags: TO_FULL_FEATURE,
        keys: [...NAMES, 'DataPDUInOrder=Maybe']
      })
      expect(new Map(pairsOf(answer!.data)).get('DataPDUInOrder')).toBe('Reject')
    })
  })

  describe('RFC 7143 §4.2.7, §11.13.5: names', () => {
    it.each([
      ['no InitiatorName', [`TargetName=${TARGET_NAME}`], '0207'],
      ['no TargetName', [INITIATOR], '0207'],
      ['an unknown target', [INITIATOR, 'TargetName=iqn.2010-04.org.example:unknown'], '0203'],
      ['a path', [INITIATOR, 'TargetName=/etc/passwd'], '0203'],
      ['a way up', [INITIATOR, 'TargetName=iqn.2010-04.local.cloudx:../../test'], '0203'],
      ['__proto__', [INITIATOR, 'TargetName=__proto__'], '0203'],
      ['constructor', [INITIATOR, 'TargetName=constructor'], '0203'],
      ['224 bytes', [INITIATOR, `TargetName=iqn.2010-04.org.example:${'a'.repeat(200)}`], '0203'],
      ['__proto__ as initiator', ['InitiatorName=__proto__', `TargetName=${TARGET_NAME}`], '0200'],
      ['a way up as initiator', ['InitiatorName=iqn.2010-04.org.example:../x', `TargetName=${TARGET_NAME}`], '0200']
    ])('%s', async (_what, keys, status) => {
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, keys: [...keys, 'AuthMethod=None'] })).toBe(status)
    })

    it('in capitals is the same name', async () => {
      const keys = [`InitiatorName=${ATTACKER.toUpperCase()}`, `TargetName=${TARGET_NAME.toUpperCase()}`]
      expect(await siege.tryLogin({ flags: TO_FULL_FEATURE, keys })).toBe('0000')
      expect(siege.target.nexuses.at(-1)!.initiatorName).toBe(ATTACKER)
    })
  })

  describe('RFC 7143 §11.13.5: a header', () => {
    it.each([
      ['an unknown session type', { flags: TO_OPERATIONAL, keys: [...FIRST, 'SessionType=Bogus'] }, '0209'],
      [
        'a lowest version of 1',
        { flags: TO_OPERATIONAL, keys: FIRST, fields: { versionMin: 1, versionMax: 1 } },
        '0205'
      ],
      ['a TSIH that nobody has', { flags: TO_OPERATIONAL, keys: FIRST, fields: { tsih: 0x7777 } }, '020a']
    ])('%s', async (_what, pdu, status) => {
      expect(await siege.tryLogin(pdu)).toBe(status)
    })

    it('with the TSIH of another initiator is refused with 020Ah, with its own with 0206h', async () => {
      const isid = Buffer.from(OPEN_ISCSI.isid, 'hex')
      const [, witness] = siege.target.group.sessions
      const other = witness ?? siege.target.group.sessions[0]!
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, keys: FIRST, fields: { tsih: other.tsih, isid } })).toBe(
        '020a'
      )
      const own = await siege.login()
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, keys: FIRST, fields: { tsih: own.tsih, isid } })).toBe(
        '0206'
      )
      expect((await own.command(TEST_UNIT_READY)).status).toBe(0)
    })

    it.each([
      ['ISID', { isid: [0x40, 0, 1, 0x37, 0, 9] }],
      ['ITT', { itt: 9 }],
      ['CID', { cid: 9 }],
      ['TSIH', { tsih: 9 }]
    ])('with another %s than the first one ends with 0200h', async (_what, fields) => {
      const second = { flags: TO_FULL_FEATURE, keys: [], fields }
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, keys: FIRST }, second)).toBe('0200')
    })

    it('with another InitiatorName than the first one ends with 0200h', async () => {
      const second = { flags: TO_FULL_FEATURE, keys: ['InitiatorName=iqn.2010-04.org.example:other'] }
      expect(await siege.tryLogin({ flags: TO_OPERATIONAL, keys: FIRST }, second)).toBe('0200')
    })

    it('of a login in full feature phase is rejected with 04h, and the session goes on', async () => {
      const initiator = await siege.login()
      await initiator.send(loginRequest({ data: 'InitiatorName=iqn.2010-04.org.example:other\0' }))
      expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x04)
      expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    })
  })

  describe('RFC 7143 §6.3.5: a hundred logins of one name and ISID at once', () => {
    it('leave exactly one session', async () => {
      const storm = await Promise.allSettled(Array.from({ length: 100 }, () => siege.login()))
      await siege.target.until(() => siege.target.group.sessions.length === 2)
      const works = async (one: ScriptedInitiator) => (await one.command(TEST_UNIT_READY)).status === 0
      const all = storm.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      const alive = await Promise.all(all.map((one) => works(one).catch(() => false)))
      expect(alive.filter(Boolean)).toHaveLength(1)
    }, 30_000)
  })

  describe('RFC 7143 appendix C, §11.10: SendTargets', () => {
    it('with nothing, a foreign name or All in a normal session tells no more than it should', async () => {
      const initiator = await siege.login()
      const names = async (which: string) =>
        (await initiator.sendTargets(which)).flatMap(([key, value]) => (key === 'TargetName' ? [value] : []))
      expect(await names('')).toEqual([TARGET_NAME])
      expect(await names('iqn.2010-04.org.example:unknown')).toEqual([])
      expect(await names('All')).toEqual([TARGET_NAME])
    })

    it('of 200 targets takes several PDUs; a stale TTT is rejected with 09h, and a new request starts anew', async () => {
      const initiator = await siege.login({
        targetName: undefined as never,
        override: { MaxRecvDataSegmentLength: '512' }
      })
      const request = () => sendRaw(initiator, { opcode: 0x44 }, [[20, 0xffffffff]], Buffer.from('SendTargets=All\0'))
      await request()
      const first = await initiator.receiveOpcode(0x24)
      expect([first.bhs[1], first.data.length]).toEqual([0x40, 512])
      await sendRaw(initiator, { opcode: 0x44 }, [[20, first.bhs.readUInt32BE(20) + 77]])
      expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
      await request()
      expect((await initiator.receiveOpcode(0x24)).data.equals(first.data)).toBe(true)
      const found = await initiator.sendTargets()
      expect(found.filter(([key]) => key === 'TargetName')).toHaveLength(200)
    })
  })
})

describe('a target that asks for a secret', () => {
  const SECRET = 'the secret of pupils'
  const secrets: Record<string, string> = { pupil: SECRET, witness: 'the secret of witnesses' }
  const siege = besiege(() => ({
    chap: {
      required: true,
      available: true,
      initiatorSecret: (name) => (Object.hasOwn(secrets, name) ? Buffer.from(secrets[name]!) : undefined),
      mutual: { chapName: 'target', secret: Buffer.from('the secret of targets') }
    },
    witnessChap: { name: 'witness', secret: secrets.witness! },
    limits: { authenticationFailures: 1000, authenticationFailuresPerUser: 1000 }
  }))
  const begin = { flags: 0x00, keys: [...NAMES, 'AuthMethod=CHAP'] }
  const algorithm = { flags: 0x00, keys: ['CHAP_A=7,5'] }
  const proof = (...keys: string[]) => siege.tryLogin(begin, algorithm, { flags: TO_OPERATIONAL, keys })
  const RIGHT_LENGTH = `0x${'5a'.repeat(32)}`

  describe('RFC 7143 §6.3.2, §12.1: a way past it', () => {
    it.each([
      ['straight to full feature phase', [{ flags: TO_FULL_FEATURE, keys: NAMES }]],
      ['NSG 3 from the security stage', [{ flags: 0x83, keys: FIRST }]],
      ['AuthMethod=None', [{ flags: TO_OPERATIONAL, keys: FIRST }]],
      ['no AuthMethod', [{ flags: TO_OPERATIONAL, keys: NAMES }]],
      ['CHAP_A=6 with an AuthMethod that was not chosen', [{ flags: 0x00, keys: [...NAMES, 'CHAP_A=6'] }]],
      ['an algorithm that nobody has', [begin, { flags: 0x00, keys: ['CHAP_A=4'] }]],
      [
        'a proof before the challenge',
        [begin, { flags: TO_OPERATIONAL, keys: ['CHAP_N=pupil', `CHAP_R=${RIGHT_LENGTH}`] }]
      ]
    ])('%s is refused with 0201h', async (_what, pdus) => {
      expect(await siege.tryLogin(...pdus)).toBe('0201')
    })
  })

  describe('RFC 7143 §12.1.3: a proof', () => {
    it.each([
      ['of an unknown user', ['CHAP_N=nobody', `CHAP_R=${RIGHT_LENGTH}`]],
      ['of a user called __proto__', ['CHAP_N=__proto__', `CHAP_R=${RIGHT_LENGTH}`]],
      ['of a wrong secret', ['CHAP_N=pupil', `CHAP_R=${RIGHT_LENGTH}`]],
      ['that is empty', ['CHAP_N=pupil', 'CHAP_R=']],
      ['of an odd length', ['CHAP_N=pupil', `CHAP_R=0x${'5'.repeat(63)}`]],
      ['that is no hexadecimal', ['CHAP_N=pupil', `CHAP_R=0x${'zz'.repeat(32)}`]],
      ['of 8000 digits', ['CHAP_N=pupil', `CHAP_R=0x${'5'.repeat(8000)}`]],
      ['of broken Base64', ['CHAP_N=pupil', 'CHAP_R=0b!!!!']],
      ['that comes twice', ['CHAP_N=pupil', `CHAP_R=${RIGHT_LENGTH}`, `CHAP_R=${RIGHT_LENGTH}`]],
      ['without a name', [`CHAP_R=${RIGHT_LENGTH}`]],
      ['with control characters in its name', ['CHAP_N=pu\u0001\u001b[31mpil', `CHAP_R=${RIGHT_LENGTH}`]]
    ])('%s is refused with 0201h', async (_what, keys) => {
      expect(await proof(...keys)).toBe('0201')
      const { message } = siege.target.refusals.at(-1)!
      // eslint-disable-next-line no-control-regex -- that is what must not reach a terminal
      expect(/[\u0000-\u001f]/.test(message) || message.length > 300).toBe(false)
    })

    it('of 1 MB ends the login', async () => {
      const long = Buffer.from(`CHAP_N=pupil\0CHAP_R=0x${'5'.repeat(1_000_000)}\0`)
      const pieces = Array.from({ length: 9 }, (_unused, index) => {
        return { flags: 0x40, data: long.subarray(index * 8192, (index + 1) * 8192) }
      })
      expect(await siege.tryLogin(begin, algorithm, ...pieces)).toBe('0200')
    })

    it('that is right, with our own challenge sent back for us to answer, is refused with 0201h', async () => {
      const other = await siege.connect()
      await siege.sendLogin(other, begin)
      const theirs = new Map(pairsOf((await siege.sendLogin(other, algorithm))!.data))
      const status = await siege.login({ chap: { name: 'pupil', secret: SECRET } }).then(async (initiator) => {
        await initiator.leave()
        return 'in'
      })
      expect(status).toBe('in')
      const { createHash } = await import('node:crypto')
      const initiator = await siege.connect()
      await siege.sendLogin(initiator, begin)
      const ours = new Map(pairsOf((await siege.sendLogin(initiator, algorithm))!.data))
      const response = createHash('sha256')
        .update(Buffer.of(Number(ours.get('CHAP_I'))))
        .update(SECRET)
        .update(Buffer.from(ours.get('CHAP_C')!.slice(2), 'hex'))
        .digest('hex')
      const keys = ['CHAP_N=pupil', `CHAP_R=0x${response}`, 'CHAP_I=7', `CHAP_C=${theirs.get('CHAP_C')}`]
      const answer = await siege.sendLogin(initiator, { flags: TO_OPERATIONAL, keys })
      expect(answer!.bhs.readUInt16BE(36)).toBe(0x0201)
    })
  })
})

describe('RFC 7143 §9.2.1: guesses of a secret', () => {
  const secrets: Record<string, string> = { pupil: 'the secret of pupils', witness: 'the secret of witnesses' }
  const siege = besiege(() => ({
    chap: { required: true, available: true, initiatorSecret: (name) => Buffer.from(secrets[name] ?? 'no secret') },
    witnessChap: { name: 'witness', secret: secrets.witness! }
  }))

  it('are ten at once and ten a second: whoever goes on is not even listened to', async () => {
    let refused = 0
    let closed = 0
    const began = performance.now()
    while (closed < 20) {
      const status = await siege
        .connect()
        .then((one) =>
          one.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI, chap: { name: 'pupil', secret: 'x' } })
        )
        .then((outcome) => outcome.status)
        .catch(() => undefined)
      if (status === 0x0201) refused++
      else closed++
    }
    const seconds = (performance.now() - began) / 1000
    expect(refused).toBeGreaterThanOrEqual(10)
    expect(refused).toBeLessThanOrEqual(10 + Math.ceil(10 * seconds))
  })
})
