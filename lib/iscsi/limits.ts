/** Every bound of the protocol layer, in one place. Times in milliseconds, lengths in bytes. */

/** The bounds that an operator may move; the presets are those below. */
export interface ProtocolLimits {
  /** TCP connections at a time, logged in or not; undefined = sessions and pending logins together. */
  readonly connections: number | undefined
  /** The same from one address. */
  readonly connectionsPerAddress: number
  /** Connections without a session. */
  readonly pendingLogins: number
  /** Commands that one session may have open. */
  readonly commands: number
  /** For data that waits for a slow disk; and as much again for data that waits for its own initiator. */
  readonly waitingBytes: number
  /** Text of one login, or of one Text exchange. */
  readonly textBytes: number
  /** Failed authentications in a second, from one address. */
  readonly authenticationFailures: number
  /** The same under one CHAP name, whatever addresses they come from. */
  readonly authenticationFailuresPerUser: number
}

/** Commands that one session may have open: MaxCmdSN runs at most this far ahead. Windows works well from 64 on. */
export const COMMAND_WINDOW = 128
/** Immediate SCSI commands take no CmdSN, so they draw on a reserve of their own. */
export const IMMEDIATE_TASKS = 8
/** Data of commands that wait for a gap in the CmdSNs, together, for each session. */
export const HELD_BYTES_MAX = 8 * 1024 * 1024
/** What a session may have waiting for its own initiator, whatever the others have; more comes out of a common budget. */
export const SESSION_WAITING_BYTES = 1024 * 1024
/** A turn handles at most this many PDUs of one connection before the others have theirs. */
export const TURN_PDUS_MAX = 256
/** A turn fills at most about this much output before the others have theirs. */
export const TURN_OUTPUT_MAX = 2 * 1024 * 1024
/** The same, while others are at work too. */
export const CROWDED_TURN_OUTPUT = 512 * 1024
/** What a turn reads of one connection while others are at work; or one PDU, if that is longer. */
export const CROWDED_TURN_INPUT = 128 * 1024
/** Others are at work when one of them has received something since so many reads of this connection. */
export const CROWDED_READS = 64
/** One read in so many lets all others go first, where at least {@link CROWD_MIN} others had theirs since the last. */
export const YIELD_EVERY = 17
export const CROWD_MIN = 7
/** More than this is not moved out of the shared ring to let others go first. */
export const YIELD_BYTES_MAX = 4 * 1024
/** Of shorter PDUs the rest that a read leaves over is copied sooner than its length is worked out. */
export const WHOLE_UNIT_BYTES_MIN = 16 * 1024
/** From TCP connect to full feature phase. */
export const LOGIN_TIME_MS = 30_000
/** Connections that have not logged in yet, all together. */
export const PENDING_LOGINS_MAX = 256
/** Connections from one address: a room full of PCs behind one router, and no more. */
export const ADDRESS_CONNECTIONS_MAX = 256
/** Failed authentications of one address in a second: more than a person who mistypes, less than a dictionary. */
export const AUTHENTICATION_FAILURES_MAX = 10
/** Under one CHAP name. More than one address may cause, so that nobody can lock out a user alone. */
export const USER_AUTHENTICATION_FAILURES_MAX = 100
/** Data that waits for a slow disk, of all sessions together; and as much again for their own initiators. */
export const WAITING_BYTES_MAX = 64 * 1024 * 1024
/** A login may bring this much in one PDU (RFC 7143 §6.1: the default MaxRecvDataSegmentLength). */
export const LOGIN_DATA_MAX = 8192
/** After this long without a byte we ask with a NOP-In whether the initiator is still there. */
export const PING_AFTER_MS = 30_000
/** An initiator that has answered pings before and leaves one unanswered this long is gone. */
export const PING_TIME_MS = 60_000
/** Output that waits while no byte comes back this long: the connection is dead. */
export const STALLED_OUTPUT_MS = 60_000
/** Solicited data must come this soon, or the task fails and frees what it holds. */
export const DATA_OUT_TIME_MS = 60_000
/** How long the old owner of a name and ISID has to answer before a new address may take its place. */
export const PROBE_TIME_MS = 3_000
/** A session whose Logout Response is sent has this long to close the connection itself. */
export const CLOSE_TIME_MS = 5_000
/** TCP keep-alive, for peers that answer no NOP-In. */
export const KEEP_ALIVE_MS = 60_000
/** How often the timers above are looked at. */
export const TICK_MS = 1_000
/** Text of one login, or of one Text exchange, that we collect. */
export const TEXT_BYTES_MAX = 64 * 1024
/** The receive ring that all connections share, and the least that a busy connection's own one may grow to. */
export const RING_BYTES = 1024 * 1024
/** What a connection's own receive ring begins with, when part of a PDU has come. */
export const RING_START_BYTES = 64 * 1024
/** What of receive rings that nobody uses is kept for the next connection that needs one. */
export const SPARE_RING_BYTES_MAX = 8 * RING_BYTES
/** Control PDUs that wait for room in the output. */
export const CONTROL_QUEUE_MAX = 256

export const DEFAULT_LIMITS: ProtocolLimits = {
  connections: undefined,
  connectionsPerAddress: ADDRESS_CONNECTIONS_MAX,
  pendingLogins: PENDING_LOGINS_MAX,
  commands: COMMAND_WINDOW,
  waitingBytes: WAITING_BYTES_MAX,
  textBytes: TEXT_BYTES_MAX,
  authenticationFailures: AUTHENTICATION_FAILURES_MAX,
  authenticationFailuresPerUser: USER_AUTHENTICATION_FAILURES_MAX
}
