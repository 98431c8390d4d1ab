import { describe, expect, it } from '@jest/globals'
import { commands } from '../../../lib/scsi/commands/index.js'

describe('the four service actions of SANITIZE', () => {
  it('write the medium, can be asked for after one has failed, and may take a day', () => {
    const sanitize = commands.filter(({ opcode }) => opcode === 0x48)
    expect(sanitize.map(({ serviceAction }) => serviceAction)).toEqual([0x01, 0x02, 0x03, 0x1f])
    for (const { access, duringSanitize, timeoutSeconds } of sanitize) {
      expect([access, duringSanitize, timeoutSeconds]).toEqual(['write', true, 86_400])
    }
  })
})
