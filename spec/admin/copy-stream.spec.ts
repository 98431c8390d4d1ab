import { describe, expect, it } from '@jest/globals'
import { decodeParts, encodeEnd, encodeError, encodePart } from '../../lib/admin/copy-stream.js'
import type { CopyPart } from '../../lib/target/control.js'
import { codeOf, IscsiError } from '../../lib/util/errors.js'

const SIZE = Buffer.from('00000000 00000000 0000000000100000'.replaceAll(' ', ''), 'hex')
const DATA = Buffer.from('01000000 00000003 0000000000001000 616263'.replaceAll(' ', ''), 'hex')
const REACHED = Buffer.from('02000000 00000000 0000000000002000'.replaceAll(' ', ''), 'hex')
const END = Buffer.from('03000000 00000000 0000000000000000'.replaceAll(' ', ''), 'hex')
const PARTS: CopyPart[] = [
  { kind: 'size', lengthBytes: 1 << 20 },
  { kind: 'data', offset: 4096, bytes: Buffer.from('abc') },
  { kind: 'reached', offset: 8192 }
]

async function decoded(chunks: readonly Buffer[]): Promise<CopyPart[]> {
  const parts: CopyPart[] = []
  // oxlint-disable-next-line typescript/require-await
  const body = async function* () {
    yield* chunks
  }
  for await (const part of decodeParts(body())) parts.push(part)
  return parts
}
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

describe('a copy as a body', () => {
  it('is written as its format says', () => {
    expect(PARTS.map(encodePart)).toEqual([SIZE, DATA, REACHED])
    expect(encodeEnd()).toEqual(END)
  })

  it('is read wherever it is split', async () => {
    const whole = Buffer.concat([SIZE, DATA, REACHED, END])
    for (let at = 0; at <= whole.length; at++) {
      expect(await decoded([whole.subarray(0, at), whole.subarray(at)])).toEqual(PARTS)
    }
    expect(await decoded([...whole].map((byte) => Buffer.from([byte])))).toEqual(PARTS)
  })

  it('is an error when the server says so, with its code', async () => {
    const error = new IscsiError('ERR_ISCSI_DELTA_LIVE', 'it is logged in')
    await expect(decoded([SIZE, encodeError(error)])).rejects.toMatchObject({
      code: 'ERR_ISCSI_DELTA_LIVE',
      message: 'it is logged in'
    })
  })

  it.each<[string, Buffer[]]>([
    ['it breaks off', [SIZE, DATA]],
    ['it breaks off within a record', [SIZE, DATA.subarray(0, 17)]],
    ['nothing comes', []],
    ['a record is too long', [Buffer.from('01000000ffffffff0000000000000000', 'hex')]],
    ['a record is of no kind', [Buffer.from('09000000000000000000000000000000', 'hex')]],
    [
      'the error says nothing',
      [Buffer.concat([Buffer.from('04000000000000020000000000000000', 'hex'), Buffer.from('{}')])]
    ]
  ])('is no copy when %s', async (_title, chunks) => {
    expect(await failure(decoded(chunks))).toBe('ERR_ADMIN_ANSWER')
  })
})
