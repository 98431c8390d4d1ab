/** Statuses with which this folder refuses a login: class × 256 + detail, RFC 7143 §11.13.5. */
export const LoginStatus = {
  AuthorizationFailure: 0x0202,
  NotFound: 0x0203,
  TargetError: 0x0300,
  ServiceUnavailable: 0x0301,
  OutOfResources: 0x0302
} as const
