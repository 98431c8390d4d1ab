import { describe, expect, it } from '@jest/globals'
import { HeldCommands } from '../../lib/iscsi/held-commands.js'
import { HELD_BYTES_MAX } from '../../lib/iscsi/limits.js'

const pdu = (text: string) => Buffer.from(text)

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

  it('with one tag twice: the data goes to the later one, also when the earlier one has gone', () => {
    const held = new HeldCommands()
    held.hold(1, 10, pdu('earlier'))
    held.hold(2, 10, pdu('later'))
    held.take(1)
    expect(held.holdData(10, () => pdu('data'))).toBe(true)
    expect(held.take(2)!.map(String)).toEqual(['later', 'data'])
  })
})
