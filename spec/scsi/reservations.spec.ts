import { describe, expect, it } from '@jest/globals'
import { commands } from '../../lib/scsi/commands/index.js'
import { Reservations } from '../../lib/scsi/reservations.js'
import { makeNexus } from '../support/scsi.js'

const one = makeNexus([])
const two = makeNexus([], { isid: '400001370001' })

function named(name: string) {
  return commands.find((command) => command.name === name)!
}

describe('RESERVE and RELEASE (SPC-2 §5.5.1)', () => {
  it('is had by one nexus, again and again, until it is released', () => {
    const reservations = new Reservations(() => {})
    expect(reservations.reserve(one)).toBe(true)
    expect(reservations.reserve(one)).toBe(true)
    expect(reservations.reserve(two)).toBe(false)
    expect(reservations.release(two)).toBe(true)
    expect(reservations.reserve(two)).toBe(false)
    expect(reservations.release(one)).toBe(true)
    expect(reservations.reserve(two)).toBe(true)
  })

  it('falls with its nexus, or with a reset, and not with another nexus', () => {
    const reservations = new Reservations(() => {})
    reservations.reserve(one)
    reservations.nexusLost(two)
    expect(reservations.reserve(two)).toBe(false)
    reservations.nexusLost(one)
    expect(reservations.reserve(two)).toBe(true)
    reservations.reset()
    expect(reservations.reserve(one)).toBe(true)
  })

  it.each(
    commands.map((command): [string, boolean] => [
      command.name,
      [
        'REQUEST SENSE',
        'INQUIRY',
        'REPORT LUNS',
        'LOG SENSE',
        'READ CAPACITY(10)',
        'READ CAPACITY(16)',
        'PREVENT ALLOW MEDIUM REMOVAL',
        'RESERVE(6)',
        'RELEASE(6)',
        'RESERVE(10)',
        'RELEASE(10)'
      ].includes(command.name)
    ])
  )('decides on %s of others: allowed %s', (name, allowed) => {
    const reservations = new Reservations(() => {})
    expect(reservations.conflicts(two, named(name))).toBe(false)
    reservations.reserve(one)
    expect(reservations.conflicts(two, named(name))).toBe(!allowed)
  })

  it('lets its holder do all but persistent reservations, which cannot mix with it', () => {
    const reservations = new Reservations(() => {})
    reservations.reserve(one)
    for (const command of commands) {
      const persistent = command.opcode === 0x5e || command.opcode === 0x5f
      expect(reservations.conflicts(one, command)).toBe(persistent)
    }
  })

  it('is compatible with persistent reservations: good for their holder, a conflict for all else', () => {
    const reservations = new Reservations(() => {})
    reservations.persistent.registerAndIgnore(one, 1n)
    expect(reservations.reserve(one)).toBe(false)
    expect(reservations.reserve(two)).toBe(false)
    reservations.persistent.reserve(one, 1n, 3)
    expect(reservations.reserve(one)).toBe(true)
    expect(reservations.release(one)).toBe(true)
    expect(reservations.reserve(two)).toBe(false)
    expect(reservations.release(two)).toBe(false)
    expect(reservations.persistent.type).toBe(3)
  })

  it('excludes a nexus from what is the holder’s alone', () => {
    const reservations = new Reservations(() => {})
    expect(reservations.excludes(two)).toBe(false)
    reservations.reserve(one)
    expect([reservations.excludes(one), reservations.excludes(two)]).toEqual([false, true])
  })
})
