import { defineLayout, u16, u32, u8 } from '../../layout/layout.js'
import { readBlockRanges } from '../block-ranges.js'
import { defineCommand } from '../command.js'
import { invalidParameter } from '../invalid-field.js'
import type { LogicalUnit } from '../logical-unit.js'
import { RodType } from '../rod-token.js'
import { DEFAULT_INACTIVITY_SECONDS, MAX_INACTIVITY_SECONDS } from '../rod-tokens.js'
import { PARAMETER_LIST_LENGTH_ERROR } from '../sense.js'
import type { Task } from '../task.js'
import { TOKEN_LIST_BYTES_MAX, TOKEN_USAGE, beginCopy, refuseRanges, tokenCdb, tokenView } from './token-cdb.js'

/** SBC-3 §5.7.2. */
const HEADER_LENGTH = 16
const header = defineLayout(HEADER_LENGTH, {
  dataLength: u16,
  flags: u8,
  reserved: u8,
  inactivityTimeout: u32,
  rodType: u32,
  moreReserved: u16,
  rangesLength: u16
})
const view = header.view()
/** Of what follows the field: the rest of the header and one range. */
const DATA_LENGTH_MIN = 0x1e
/** RTV: ROD TYPE says something. The bit below it, IMMED, is taken as 0 (SPC-4 §5.17.4.3): a token is made at once. */
const FLAG_RTV = 0x02
const INACTIVITY_TIMEOUT_BYTE = 4
const ROD_TYPE_BYTE = 8

/** What a client may want; a token is only as lasting as the data that it stands for. */
const ROD_TYPES: readonly number[] = [
  RodType.PointInTimeDefault,
  RodType.PointInTimeChangeVulnerable,
  RodType.PointInTimeAny
]

/** POPULATE TOKEN, SBC-3 §5.7: a token for ranges of this unit, to be fetched with RECEIVE ROD TOKEN INFORMATION. */
export const populateToken = defineCommand(
  {
    opcode: 0x83,
    serviceAction: 0x10,
    name: 'POPULATE TOKEN',
    usage: TOKEN_USAGE,
    access: 'read',
    medium: true,
    execute(task) {
      const { parameterListLength } = tokenView.at(task.cdb)
      if (parameterListLength === 0) return task.good()
      if (parameterListLength < HEADER_LENGTH || parameterListLength > TOKEN_LIST_BYTES_MAX) {
        return task.check(PARAMETER_LIST_LENGTH_ERROR)
      }
      task.gather(parameterListLength)
    },
    finish(task, unit) {
      if (task.received < task.parameters!.length) return task.check(PARAMETER_LIST_LENGTH_ERROR)
      populate(task, unit, task.parameters!)
    }
  },
  tokenCdb
)

function populate(task: Task, unit: LogicalUnit, list: Buffer): void {
  const { dataLength, flags, inactivityTimeout, rodType } = view.at(list)
  if (dataLength < DATA_LENGTH_MIN) return invalidParameter(task, 0)
  if (inactivityTimeout > MAX_INACTIVITY_SECONDS) return invalidParameter(task, INACTIVITY_TIMEOUT_BYTE)
  const wantsType = (flags & FLAG_RTV) !== 0
  if (wantsType && !ROD_TYPES.includes(rodType)) return invalidParameter(task, ROD_TYPE_BYTE)
  const ranges = readBlockRanges(list.subarray(0, dataLength + 2), HEADER_LENGTH, unit)
  if ('condition' in ranges) return refuseRanges(task, ranges)
  const result = beginCopy(task, unit)
  if (!result) return
  const type = wantsType && rodType === RodType.PointInTimeDefault ? rodType : RodType.PointInTimeChangeVulnerable
  const token = unit.tokens.create(task.nexus, ranges, type, inactivityTimeout || DEFAULT_INACTIVITY_SECONDS)
  result.token = token.bytes
  result.bytesDone = token.byteCount
  task.nexus.copies.end(result, 'good')
  task.good()
}
