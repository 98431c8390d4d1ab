import { createHash } from 'node:crypto'
import { LoginMachine, type LoginReply } from '../../lib/iscsi/login/login.js'
import { DEFAULT_OFFER } from '../../lib/iscsi/parameters.js'
import type { Random } from '../../spec/support/random.js'
import { loginHeader } from '../../spec/support/scripted-initiator.js'
import { demand, demandEqual, Finding, type Fuzzer } from './fuzzer.js'

const TARGET = 'iqn.2010-04.local.cloudx:share'
const INITIATOR = 'iqn.2010-04.org.example:fuzz'
const USER = 'pupil'
const SECRET = 'a secret of twenty-2'
const RESPONSE_LENGTH_MAX = 8192
/** More requests than any login may have. */
const REQUESTS_MAX = 130

/** The login state machine: nobody gets in who has not said who, to what, and proved it where that is asked for. */
export const login: Fuzzer = {
  name: 'login',
  about: 'logins: stages, C and T, keys, numbers, names, CHAP with right and wrong answers',
  share: 0.5,
  open: () => ({ round, close: () => undefined })
}

/** What this initiator has said so far, as far as it decides whether it may get in. */
interface Said {
  initiator: boolean
  target: boolean
  discovery: boolean
  proved: boolean
}

function round(random: Random): number {
  const required = random.chance(0.5)
  const machine = makeMachine(required)
  const said: Said = { initiator: false, target: false, discovery: false, proved: false }
  const script = scriptOf(random, required)
  let answer = new Map<string, string>()
  let text = Buffer.alloc(0)
  let sent = 0
  for (let over = false; sent < REQUESTS_MAX; sent++) {
    const { bhs, data } = script(sent, answer, said)
    const step = machine.step(bhs, 0, data)
    demand(!over || step.kind === 'close', 'a login that is over goes on')
    if (step.kind === 'close') return sent + 1
    checkReply(step.reply, bhs)
    text = Buffer.concat([text, step.reply.data])
    if ((step.reply.flags & 0x40) === 0) {
      answer = pairsOf(text)
      text = Buffer.alloc(0)
    }
    if (step.kind === 'admit') checkAdmission(required, said)
    if (step.kind !== 'reply') over = true
  }
  throw new Finding(`a login takes ${sent} requests and goes on`)
}

function makeMachine(required: boolean): LoginMachine {
  const secretOf = (name: string) => (name === USER ? Buffer.from(SECRET) : undefined)
  const policy = { required, available: true, initiatorSecret: secretOf, mutual: undefined }
  return new LoginMachine({
    directory: {
      hasTarget: (name) => name === TARGET,
      mayAccess: () => true,
      refusal: () => '',
      chap: () => policy,
      visibleTargets: () => [TARGET],
      advertisedAddress: (address, port) => `${address}:${port}`,
      targetPortalGroupTag: 1,
      targetAlias: () => 'share',
      openNexus: () => Promise.reject(new Error('a login opens no nexus')),
      closeNexus: () => Promise.reject(new Error('a login closes no nexus'))
    },
    offer: DEFAULT_OFFER,
    remoteAddress: '192.0.2.7',
    hasSession: () => false
  })
}

function checkReply({ flags, status, data, initiatorTaskTag }: LoginReply, request: Buffer): void {
  const [transit, continues] = [(flags & 0x80) !== 0, (flags & 0x40) !== 0]
  demand(!(transit && continues), 'T and C in one response')
  demand(data.length <= RESPONSE_LENGTH_MAX, `a response of ${data.length} bytes`)
  demandEqual('the tag', initiatorTaskTag, request.readUInt32BE(16))
  if (status !== 0) {
    demand(status >>> 8 >= 1 && status >>> 8 <= 3, `status ${status.toString(16)}`)
    return demandEqual('the data of a refusal', data.length, 0)
  }
  demandEqual('CSG', (flags >> 2) & 3, (request[1]! >> 2) & 3)
  if (!transit) return
  demand((request[1]! & 0x80) !== 0, 'a transit that nobody asked for')
  demandEqual('NSG', flags & 3, request[1]! & 3)
}

function checkAdmission(required: boolean, said: Said): void {
  demand(said.initiator, 'in without InitiatorName')
  demand(said.target || said.discovery, 'in without TargetName')
  demand(!required || said.proved, 'in without a proof')
}

/** Every answer of the target is a sound text. */
function pairsOf(text: Buffer): Map<string, string> {
  const items = text.toString('utf8').split('\0')
  demandEqual('what is behind the last NUL', items.pop(), '')
  const pairs = items.map((item): [string, string] => {
    const at = item.indexOf('=')
    demand(at > 0 && at <= 63, `a pair ${JSON.stringify(item.slice(0, 100))}`)
    return [item.slice(0, at), item.slice(at + 1)]
  })
  return new Map(pairs)
}

type Script = (index: number, answer: Map<string, string>, said: Said) => { bhs: Buffer; data: Buffer }

/** A login as it should be, in which any step may go wrong. */
function scriptOf(random: Random, required: boolean): Script {
  const wrong = random.pick([0, 0.02, 0.1, 0.3])
  const endless = random.chance(0.02)
  const discovery = random.chance(0.2)
  const names: [string, string][] = [['InitiatorName', INITIATOR]]
  if (discovery) names.push(['SessionType', 'Discovery'])
  if (!discovery || random.chance(0.2)) names.push(['TargetName', TARGET])
  const chap = required || random.chance(0.3)
  const stages: [
    stage: number,
    next: number | undefined,
    pairs: (answer: Map<string, string>) => [string, string][]
  ][] = chap
    ? [
        [0, undefined, () => [...names, ['AuthMethod', 'CHAP']]],
        [0, undefined, () => [['CHAP_A', random.pick(['5', '7,5', '8', '6'])]]],
        [0, 1, (answer) => proof(answer, random.chance(0.8))],
        [1, 3, () => operational(random)]
      ]
    : [
        [0, 1, () => [...names, ['AuthMethod', 'None']]],
        [1, 3, () => operational(random)]
      ]
  return (index, answer, said) => {
    const [stage, next, make] = stages[Math.min(index, stages.length - 1)]!
    const pairs = make(answer)
    if (random.chance(wrong)) spoil(random, pairs)
    let flags = (stage << 2) | (next === undefined ? 0 : 0x80 | next)
    if (endless) flags = 0x40 | (stage << 2)
    else if (random.chance(wrong)) flags = random.int(256)
    note(said, pairs, answer)
    const bhs = loginHeader({ flags, isid: Buffer.from('00023d000001', 'hex'), cmdSn: 1, initiatorTaskTag: 7 })
    if (random.chance(wrong)) bhs[random.pick([2, 3, 8, 14, 15, 16, 20, 21])] = random.int(256)
    const data = Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))
    if (data.length > 0 && random.chance(wrong)) data[random.int(data.length)] = random.int(256)
    return { bhs, data }
  }
}

/** What it may be believed to have said; a spoilt byte makes less of it, never more. */
function note(said: Said, pairs: readonly [string, string][], answer: Map<string, string>): void {
  for (const [key, value] of pairs) {
    if (key === 'InitiatorName') said.initiator = true
    if (key === 'TargetName' && value.toLowerCase() === TARGET) said.target = true
    if (key === 'SessionType' && value === 'Discovery') said.discovery = true
    if (key === 'CHAP_R' && value === proof(answer, true)[1]?.[1]) said.proved = true
  }
}

function proof(answer: Map<string, string>, right: boolean): [string, string][] {
  const hash = { 5: 'md5', 6: 'sha1', 7: 'sha256', 8: 'sha3-256' }[answer.get('CHAP_A') ?? ''] ?? 'md5'
  const digest = createHash(hash)
    .update(Buffer.of(Number(answer.get('CHAP_I') ?? 0)))
    .update(right ? SECRET : 'another secret')
    .update(Buffer.from((answer.get('CHAP_C') ?? '0x').slice(2), 'hex'))
    .digest('hex')
  return [
    ['CHAP_N', USER],
    ['CHAP_R', `0x${digest}`]
  ]
}

const NUMBERS = ['-1', '0', '1', '511', '512', '8192', '16777216', '4294967296', '1e9', '0x', '0xG', '', ' 1', '0x400']
const NUMERICAL = [
  'MaxRecvDataSegmentLength',
  'MaxBurstLength',
  'FirstBurstLength',
  'MaxOutstandingR2T',
  'MaxConnections'
]
const OTHER = [
  'HeaderDigest',
  'InitialR2T',
  'ImmediateData',
  'DataPDUInOrder',
  'IFMarker',
  'X-foo',
  '__proto__',
  'OFMarkInt'
]

function operational(random: Random): [string, string][] {
  const pairs: [string, string][] = []
  for (const key of NUMERICAL) if (random.chance(0.3)) pairs.push([key, random.pick(['512', '8192', '65536', '1'])])
  for (const key of OTHER) if (random.chance(0.2)) pairs.push([key, random.pick(['Yes', 'No', 'None', 'CRC32C,None'])])
  return pairs
}

function spoil(random: Random, pairs: [string, string][]): void {
  switch (random.int(6)) {
    case 0:
      return void pairs.push([random.pick([...NUMERICAL, 'DefaultTime2Wait', 'CHAP_I']), random.pick(NUMBERS)])
    case 1:
      return void pairs.push(
        random.pick([
          ['InitiatorName', INITIATOR],
          ['CHAP_A', '6'],
          ['CHAP_R', '0x'],
          ['C', '']
        ])
      )
    case 2:
      return void pairs.splice(random.int(pairs.length + 1), 1)
    case 3:
      return void pairs.push([
        'TargetName',
        random.pick(['../x', '__proto__', 'iqn.2010-04.org:X', 'a'.repeat(230), '/'])
      ])
    case 4:
      return void pairs.push([
        `X-${'k'.repeat(random.pick([1, 61, 62, 200]))}`,
        'v'.repeat(random.pick([0, 255, 9000]))
      ])
    default:
      if (pairs.length > 0) pairs.push(random.pick(pairs))
  }
}
