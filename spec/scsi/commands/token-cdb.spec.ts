import { describe, expect, it } from '@jest/globals'
import { populateToken } from '../../../lib/scsi/commands/populate-token.js'
import { beginCopy, tokenCdb, tokenView } from '../../../lib/scsi/commands/token-cdb.js'
import { writeUsingToken } from '../../../lib/scsi/commands/write-using-token.js'
import { Host, makeNexus, makeUnit } from '../../support/scsi.js'
import { populateCdb, writeCdb } from '../../support/token-list.js'

describe('the CDB of POPULATE TOKEN and WRITE USING TOKEN (SBC-3 §5.7, §5.46)', () => {
  it('has a list identifier of 32 bits and a length, and nothing else but a group number', () => {
    expect(tokenCdb.length).toBe(16)
    const { listId, parameterListLength } = tokenView.at(writeCdb(0xfedcba98, 0x01020304))
    expect([listId, parameterListLength]).toEqual([0xfedcba98, 0x01020304])
    for (const { usage } of [populateToken, writeUsingToken]) {
      expect(Buffer.from(usage).toString('hex')).toBe('831f00000000ffffffffffffffff1f00')
    }
  })

  it('begins what later commands ask about, by its service action and in blocks of its unit', () => {
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    const task = new Host().make(nexus, populateCdb(0xffffffff, 0))
    const result = beginCopy(task, unit)
    expect(nexus.copies.get(0xffffffff)).toBe(result)
    expect(result!.origin).toEqual({ serviceAction: 0x10, countedIn: unit })
    expect(beginCopy(task, unit)).toBeUndefined()
    expect(task.status).toBe(0x02)
  })
})
