import { describe, expect, it } from '@jest/globals'
import { HeldCommands } from '../../lib/iscsi/held-commands.js'
import { HELD_BYTES_MAX } from '../../lib/iscsi/limits.js'

const pdu = (text: string) => Buffer.from(text)
const zeroes = (count: number) => new Array<number>(count).fill(0)

describe('commands that wait for a gap to close', () => {
  it('come back by CmdSN, once, each with its data behind it', () => {
    const held = new HeldCommands()
    expect(held.hold(7, 70, pdu('seven'))).toBe(true)
    expect(held.hold(6, 60, pdu('six'))).toBe(true)
    expect(held.holdData(70, () => pdu('a'))).toBe(true)
    expect(held.holdData(70, () => pdu('b'))).toBe(true)
    expect(held.size).toBe(2)
    expect(held.take(5)).toBeUndefined()
    expect(held.take(6)!.map(String)).toEqual(['six'])
    expect(held.take(7)!.map(String)).toEqual(['seven', 'a', 'b'])
    expect(held.take(7)).toBeUndefined()
    expect(held.size).toBe(0)
  })

  it('are held once for each CmdSN: the first one counts', () => {
    const held = new HeldCommands()
    held.hold(7, 70, pdu('first'))
    expect(held.hold(7, 71, pdu('second'))).toBe(false)
    expect(held.take(7)!.map(String)).toEqual(['first'])
  })

  it('do not take data of a command that is not among them, and do not even copy it', () => {
    const held = new HeldCommands()
    const copy = () => {
      throw new Error('copied')
    }
    expect(held.holdData(70, copy)).toBe(false)
    held.hold(7, 70, pdu('seven'))
    held.take(7)
    expect(held.holdData(70, copy)).toBe(false)
  })

  it('have a bound in bytes, and room again when some have gone', () => {
    const held = new HeldCommands()
    const half = Buffer.alloc(HELD_BYTES_MAX / 2)
    expect(held.hold(1, 10, half)).toBe(true)
    expect(held.hold(2, 20, half)).toBe(true)
    expect(held.hold(3, 30, pdu('x'))).toBe(false)
    // Data that finds no room is dropped; its command will fail for what is missing.
    expect(held.holdData(20, () => pdu('x'))).toBe(true)
    held.take(1)
    expect(held.hold(3, 30, pdu('x'))).toBe(true)
    expect(held.take(2)!.length).toBe(1)
  })

  it('leave an empty place when one is aborted, come or not', () => {
    const held = new HeldCommands()
    held.hold(7, 70, Buffer.alloc(HELD_BYTES_MAX))
    held.skip(7)
    held.skip(8)
    expect(held.holdData(70, () => pdu('late'))).toBe(false)
    expect(held.take(7)).toEqual([])
    expect(held.take(8)).toEqual([])
    expect(held.hold(9, 90, Buffer.alloc(HELD_BYTES_MAX))).toBe(true)
  })

  it.each([
    ['of one LUN', 1, [7]],
    ['of all LUNs', undefined, [6, 7]]
  ])('leave empty places when those %s before a CmdSN are aborted together', (_title, lun, gone) => {
    const held = new HeldCommands()
    const to = (opcode: number, number: number) =>
      Buffer.from([opcode, 0x81, 0, 0, 0, 0, 0, 0, 0, number, ...zeroes(38)])
    held.hold(6, 60, to(0x01, 0))
    held.hold(7, 70, to(0x01, 1))
    // Task management, Text and NOP-Out are no tasks; a command behind the request is not meant.
    for (const [index, opcode] of [0x02, 0x04, 0x00].entries()) held.hold(8 + index, 80 + index, to(opcode, 1))
    held.hold(11, 110, to(0x01, 1))
    held.skipCommands(lun, 11)
    const left = [6, 7, 8, 9, 10, 11].filter((cmdSn) => held.take(cmdSn)!.length === 0)
    expect(left).toEqual(gone)
  })

  it('are found before a CmdSN that has wrapped', () => {
    const held = new HeldCommands()
    held.hold(0xffffffff, 10, Buffer.from([0x01, ...zeroes(47)]))
    held.hold(1, 20, Buffer.from([0x01, ...zeroes(47)]))
    held.skipCommands(0, 1)
    expect([held.take(0xffffffff)!.length, held.take(1)!.length]).toEqual([0, 1])
  })

  it('with one tag twice: the data goes to the later one, also when the earlier one has gone', () => {
    const held = new HeldCommands()
    held.hold(1, 10, pdu('earlier'))
    held.hold(2, 10, pdu('later'))
    held.take(1)
    expect(held.holdData(10, () => pdu('data'))).toBe(true)
    expect(held.take(2)!.map(String)).toEqual(['later', 'data'])
  })
})
