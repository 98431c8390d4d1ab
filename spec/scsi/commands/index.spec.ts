import { describe, expect, it } from '@jest/globals'
import { commands } from '../../../lib/scsi/commands/index.js'

/** SPC-4 §4.3.2: the group code, bits 7-5 of the operation code, gives the length of the CDB. */
const CDB_LENGTHS = [6, 10, 10, undefined, 16, 12, undefined, undefined]

describe('the list of commands', () => {
  it('is in the order of operation codes and service actions, each once', () => {
    const keys = commands.map(({ opcode, serviceAction }) => opcode * 32 + (serviceAction ?? 0))
    expect(keys).toEqual([...new Set(keys)].sort((left, right) => left - right))
  })

  it('has every command that the initiators and suites send', () => {
    const codes = [...new Set(commands.map(({ opcode }) => opcode))]
    expect(Buffer.from(codes).toString('hex').replaceAll(/../g, '$& ').trim()).toBe(
      '00 03 08 0a 12 15 16 17 1a 1b 1d 1e 25 28 2a 2e 2f 34 35 37 41 42 48 4d 55 56 57 5a 5e 5f ' +
        '83 84 88 89 8a 8b 8e 8f 90 91 93 9c 9e a0 a3 a8 aa ae af b7'
    )
  })

  it.each(commands.map((command) => [command.name, command] as const))('%s has a sound record', (_name, command) => {
    const { opcode, usage, serviceAction } = command
    expect(usage).toHaveLength(CDB_LENGTHS[opcode >>> 5]!)
    expect(usage.every((mask) => mask >= 0 && mask <= 0xff)).toBe(true)
    // The control byte: neither NACA nor LINK is understood.
    expect(usage.at(-1)).toBe(0)
    // A service action must get past the check for stray bits.
    if (serviceAction !== undefined) expect(usage[1]! & 0x1f).toBe(0x1f)
  })

  it.each(commands.filter(({ access }) => access === 'none').map((command) => [command.name, command] as const))(
    '%s says what a reservation means to it',
    (_name, command) => {
      expect(command.allowedUnderReservation).toBeDefined()
    }
  )
})
