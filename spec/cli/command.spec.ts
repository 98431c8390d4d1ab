import { describe, expect, it } from '@jest/globals'
import { PassThrough } from 'node:stream'
import { print } from '../../lib/cli/command.js'
import { commands } from '../../lib/cli/commands/index.js'

describe('print', () => {
  it('writes a line', () => {
    const stream = new PassThrough()
    print(stream, 'The configuration is right.')
    expect(String(stream.read())).toBe('The configuration is right.\n')
  })
})

describe('commands', () => {
  it('have one that runs when none is named', () => {
    expect(commands.filter(({ usage }) => [usage].flat().includes('$0'))).toHaveLength(1)
  })
})
