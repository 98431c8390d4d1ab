import type { AccessRequest, ChapPolicy, Directory } from '../../lib/iscsi/directory.js'
import { LoginMachine, type LoginOptions, type LoginReply, type LoginStep } from '../../lib/iscsi/login/login.js'
import { DEFAULT_OFFER } from '../../lib/iscsi/parameters.js'
import type { Pairs } from './login-presets.js'
import { loginHeader, pairsOf, textOf } from './scripted-initiator.js'

export const INITIATOR = 'iqn.1991-05.com.microsoft:win2003s'
export const TARGET = 'iqn.2001-04.com.example:storage.disk2.sys1.lbd'
export const REMOTE = '192.0.2.7'

export const NO_CHAP: ChapPolicy = {
  required: false,
  available: false,
  initiatorSecret: () => undefined,
  mutual: undefined
}

/** The Login Request that a spec sends; what it does not say is as Windows has it. */
export interface LoginRequestFields {
  /** T, C, CSG, NSG. */
  readonly flags: number
  readonly pairs?: Pairs
  /** In place of `pairs`. */
  readonly data?: Buffer
  readonly isid?: string
  readonly tsih?: number
  readonly initiatorTaskTag?: number
  readonly cid?: number
  readonly cmdSn?: number
  readonly versionMax?: number
  readonly versionMin?: number
  readonly opcode?: number
}

/** A login machine and the requests for it, made by hand. */
export class LoginHarness {
  readonly machine: LoginMachine
  readonly asked: AccessRequest[] = []

  constructor(options: Partial<LoginOptions> & { chap?: ChapPolicy; forbidden?: boolean; targetAlias?: string } = {}) {
    const directory: Directory = {
      hasTarget: (name) => name === TARGET,
      mayAccess: (request) => {
        this.asked.push(request)
        return !options.forbidden
      },
      refusal: () => 'the access list forbids it',
      chap: () => options.chap ?? NO_CHAP,
      visibleTargets: () => [TARGET],
      advertisedAddress: (address, port) => `${address}:${port}`,
      targetPortalGroupTag: 1,
      targetAlias: () => options.targetAlias,
      openNexus: () => Promise.reject(new Error('a login opens no nexus')),
      closeNexus: () => Promise.reject(new Error('a login closes no nexus'))
    }
    this.machine = new LoginMachine({
      directory,
      offer: DEFAULT_OFFER,
      remoteAddress: REMOTE,
      hasSession: () => false,
      ...options
    })
  }

  /** The request lies in the middle of a buffer that is overwritten afterwards, as a receive ring does. */
  send(fields: LoginRequestFields): LoginStep {
    const bhs = loginHeader({
      flags: fields.flags,
      isid: Buffer.from(fields.isid ?? '400001370000', 'hex'),
      tsih: fields.tsih ?? 0,
      initiatorTaskTag: fields.initiatorTaskTag ?? 1,
      cid: fields.cid ?? 1,
      cmdSn: fields.cmdSn ?? 1,
      versionMax: fields.versionMax ?? 0,
      versionMin: fields.versionMin ?? 0
    })
    if (fields.opcode !== undefined) bhs[0] = fields.opcode
    return this.sendBytes(bhs, fields.data ?? textOf(fields.pairs ?? []))
  }

  sendBytes(bhs: Buffer, data: Buffer): LoginStep {
    const ring = Buffer.concat([Buffer.alloc(5, 0xee), bhs, data, Buffer.alloc(5, 0xee)])
    const step = this.machine.step(ring, 5, ring.subarray(5 + bhs.length, 5 + bhs.length + data.length))
    ring.fill(0xaa)
    return step
  }
}

/** The reply of any step that has one. */
export function replyOf(step: LoginStep): LoginReply {
  if (step.kind === 'close') throw new Error(`the login closes: ${step.message}`)
  return step.reply
}

/** The answers in a reply. */
export function answersOf(step: LoginStep): Pairs {
  return pairsOf(replyOf(step).data)
}

/** Kind and status in one short text, such as `fail 0203`. */
export function outcomeOf(step: LoginStep): string {
  if (step.kind === 'close') return 'close'
  return `${step.kind} ${step.reply.status.toString(16).padStart(4, '0')}`
}
