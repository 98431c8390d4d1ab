/** Everything that a program on the other side of the socket could make us hold. */

/** Connections of one socket; more wait in its backlog. */
export const CONNECTIONS_MAX = 16
/** Bytes of a request line with its headers. */
export const HEADER_BYTES_MAX = 8 * 1024
/** Bytes of the body of a request; an order is a few names. */
export const BODY_BYTES_MAX = 64 * 1024
/** Until the headers, and until the whole request, must have come. */
export const HEADERS_TIME_MS = 5_000
export const REQUEST_TIME_MS = 10_000
/** A connection that says nothing for so long is closed. */
export const IDLE_TIME_MS = 30_000
/** The same for one that takes a copy. */
export const STREAM_IDLE_TIME_MS = 600_000
/** How long a client waits for an answer; an order may have to wait for a session that is just ending. */
export const ANSWER_TIME_MS = 60_000
/** Bytes of an answer that a client takes: all initiators of a server, with their names. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024
