/**
 * The numbers that PDUs carry, a table a section of RFC 7143. {@link codeName} gives the name of a number for logs.
 */

/** Status-Class << 8 | Status-Detail of a Login Response, RFC 7143 §11.13.5. */
export const LoginStatus = {
  Success: 0x0000,
  TargetMovedTemporarily: 0x0101,
  TargetMovedPermanently: 0x0102,
  InitiatorError: 0x0200,
  AuthenticationFailure: 0x0201,
  AuthorizationFailure: 0x0202,
  NotFound: 0x0203,
  TargetRemoved: 0x0204,
  UnsupportedVersion: 0x0205,
  TooManyConnections: 0x0206,
  MissingParameter: 0x0207,
  CannotIncludeInSession: 0x0208,
  SessionTypeNotSupported: 0x0209,
  SessionDoesNotExist: 0x020a,
  InvalidDuringLogin: 0x020b,
  TargetError: 0x0300,
  ServiceUnavailable: 0x0301,
  OutOfResources: 0x0302
} as const
export type LoginStatus = (typeof LoginStatus)[keyof typeof LoginStatus]

/** Login stages, the values of CSG and NSG, RFC 7143 §11.12.3. */
export const LoginStage = {
  SecurityNegotiation: 0,
  LoginOperationalNegotiation: 1,
  FullFeaturePhase: 3
} as const
export type LoginStage = (typeof LoginStage)[keyof typeof LoginStage]

/** Reason of a Reject, RFC 7143 §11.17.1. 0x01 and 0x0b are not to be used. */
export const RejectReason = {
  DataDigestError: 0x02,
  SnackReject: 0x03,
  ProtocolError: 0x04,
  CommandNotSupported: 0x05,
  ImmediateCommandReject: 0x06,
  TaskInProgress: 0x07,
  InvalidDataAck: 0x08,
  InvalidPduField: 0x09,
  LongOperationReject: 0x0a,
  WaitingForLogout: 0x0c
} as const
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason]

/** Reason of a Logout Request, RFC 7143 §11.14.1. */
export const LogoutReason = {
  CloseSession: 0,
  CloseConnection: 1,
  RemoveConnectionForRecovery: 2
} as const
export type LogoutReason = (typeof LogoutReason)[keyof typeof LogoutReason]

/** Response of a Logout Response, RFC 7143 §11.15.1. */
export const LogoutResponseCode = {
  Closed: 0,
  CidNotFound: 1,
  RecoveryNotSupported: 2,
  CleanupFailed: 3
} as const
export type LogoutResponseCode = (typeof LogoutResponseCode)[keyof typeof LogoutResponseCode]

/** Task management functions, RFC 7143 §11.5.1; 9 to 12 are of RFC 7144 §4.2. */
export const TaskManagementFunction = {
  AbortTask: 1,
  AbortTaskSet: 2,
  ClearAca: 3,
  ClearTaskSet: 4,
  LogicalUnitReset: 5,
  TargetWarmReset: 6,
  TargetColdReset: 7,
  TaskReassign: 8,
  QueryTask: 9,
  QueryTaskSet: 10,
  ITNexusReset: 11,
  QueryAsynchronousEvent: 12
} as const
export type TaskManagementFunction = (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction]

/** Response of a Task Management Function Response, RFC 7143 §11.6.1; 7 is of RFC 7144 §4.2. */
export const TaskManagementResponseCode = {
  FunctionComplete: 0,
  TaskDoesNotExist: 1,
  LunDoesNotExist: 2,
  TaskStillAllegiant: 3,
  ReassignmentNotSupported: 4,
  FunctionNotSupported: 5,
  AuthorizationFailed: 6,
  FunctionSucceeded: 7,
  FunctionRejected: 255
} as const
export type TaskManagementResponseCode = (typeof TaskManagementResponseCode)[keyof typeof TaskManagementResponseCode]

/** AsyncEvent of an Asynchronous Message, RFC 7143 §11.9.1. */
export const AsyncEvent = {
  ScsiEvent: 0,
  LogoutRequest: 1,
  DropConnection: 2,
  DropAllConnections: 3,
  RenegotiationRequest: 4,
  TasksTerminated: 5,
  VendorSpecific: 255
} as const
export type AsyncEvent = (typeof AsyncEvent)[keyof typeof AsyncEvent]

/** ATTR of a SCSI Command, RFC 7143 §11.3.1. */
export const TaskAttribute = {
  Untagged: 0,
  Simple: 1,
  Ordered: 2,
  HeadOfQueue: 3,
  Aca: 4
} as const
export type TaskAttribute = (typeof TaskAttribute)[keyof typeof TaskAttribute]

/** Response (not the SCSI status) of a SCSI Response, RFC 7143 §11.4.3. */
export const ScsiResponseCode = {
  CompletedAtTarget: 0x00,
  TargetFailure: 0x01
} as const
export type ScsiResponseCode = (typeof ScsiResponseCode)[keyof typeof ScsiResponseCode]

/** Type of a SNACK Request, RFC 7143 §11.16.1. */
export const SnackType = {
  DataOrR2t: 0,
  Status: 1,
  DataAck: 2,
  ResegmentingData: 3
} as const
export type SnackType = (typeof SnackType)[keyof typeof SnackType]

/**
 * The name of a number in one of the tables above, as words: `codeName(LogoutReason, 0)` is `'close session'`.
 * A number that the table does not hold is given in hexadecimal.
 */
export function codeName(table: Readonly<Record<string, number>>, code: number): string {
  for (const name in table) {
    if (table[name] === code) return words(name)
  }
  return `0x${code.toString(16).padStart(2, '0')}`
}

function words(name: string): string {
  return name.replace(/(?<=[a-z0-9])(?=[A-Z])/g, ' ').toLowerCase()
}
