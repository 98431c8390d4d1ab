import { codeOf } from '../util/errors.js'
import {
  INTERNAL_TARGET_FAILURE,
  SPACE_ALLOCATION_FAILED,
  UNRECOVERED_READ_ERROR,
  WRITE_ERROR,
  WRITE_PROTECTED,
  type SenseCondition
} from './sense.js'

/** The one translation of a volume's errors into sense conditions. What is not listed is a hardware error. */
const CONDITIONS: Readonly<Record<string, SenseCondition>> = {
  ENOSPC: SPACE_ALLOCATION_FAILED,
  EDQUOT: SPACE_ALLOCATION_FAILED,
  EFBIG: SPACE_ALLOCATION_FAILED,
  EROFS: WRITE_PROTECTED,
  EPERM: WRITE_PROTECTED,
  EACCES: WRITE_PROTECTED,
  ERR_ISCSI_OUTSIDE_PARTITION: WRITE_PROTECTED
}

export function conditionOf(error: unknown, access: 'read' | 'write' | 'none'): SenseCondition {
  const code = codeOf(error)
  const listed = CONDITIONS[code]
  if (listed) return listed
  if (code !== 'EIO') return INTERNAL_TARGET_FAILURE
  return access === 'read' ? UNRECOVERED_READ_ERROR : access === 'write' ? WRITE_ERROR : INTERNAL_TARGET_FAILURE
}
