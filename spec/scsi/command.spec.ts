import { describe, expect, it } from '@jest/globals'
import { defineCommand, type Command } from '../../lib/scsi/command.js'

const command: Command = {
  opcode: 0x42,
  name: 'EXAMPLE',
  usage: [0x42, 0, 0, 0, 0, 0],
  access: 'none',
  medium: false,
  execute: () => {}
}

describe('defining a command', () => {
  it('takes a usage map of the length of the CDB', () => {
    expect(defineCommand(command, { length: 6 })).toBe(command)
    expect(() => defineCommand(command, { length: 10 })).toThrow('usage map of 6 bytes')
  })

  it('takes a usage map that begins with its own opcode', () => {
    expect(() => defineCommand({ ...command, opcode: 0x43 }, { length: 6 })).toThrow('another opcode')
  })
})
