import fs from 'node:fs'
import { IscsiError, codeOf } from '../../util/errors.js'
import type { BlockIo } from '../block-io.js'

/**
 * Moving exactly so many bytes between a buffer and a file, at once or through the thread pool. The kernel may move
 * fewer bytes than it was asked for and may be interrupted; both are tried again a bounded number of times. A read that
 * meets the end of the file fails with EIO: the file was cut under us, and the old bytes of the buffer are nobody's.
 */

/** How often one transfer is taken up again, after a short move or an interruption. */
const RESUMES_MAX = 64
/** Most bytes in one system call; Linux moves at most 2^31 - 4096 and Node takes no more than 2^31 - 1. */
const CALL_BYTES_MAX = 1 << 30

/** Written again and again where a range becomes zero. */
export const ZEROES = Buffer.alloc(1 << 20)

export function readFully(fd: number, buffer: Buffer, start: number, length: number, offset: number): void {
  moveFully(fs.readSync, fd, buffer, start, length, offset, shortRead)
}

export function writeFully(fd: number, buffer: Buffer, start: number, length: number, offset: number): void {
  moveFully(fs.writeSync, fd, buffer, start, length, offset, shortWrite)
}

type Move = (fd: number, buffer: Buffer, start: number, length: number, offset: number) => number

function moveFully(
  move: Move,
  fd: number,
  buffer: Buffer,
  start: number,
  length: number,
  offset: number,
  short: () => Error
): void {
  let done = 0
  for (let resumes = 0; done < length; resumes++) {
    if (resumes > RESUMES_MAX) throw short()
    const moved = attempt(move, fd, buffer, start + done, Math.min(length - done, CALL_BYTES_MAX), offset + done)
    if (moved === 0) throw short()
    if (moved > 0) done += moved
  }
}

/** Bytes moved, or -1 when the call was interrupted. */
function attempt(move: Move, fd: number, buffer: Buffer, start: number, length: number, offset: number): number {
  try {
    return move(fd, buffer, start, length, offset)
  } catch (error) {
    if (isTransient(error)) return -1
    throw error
  }
}

type PooledMove = (
  fd: number,
  buffer: Buffer,
  start: number,
  length: number,
  offset: number,
  moved: (error: Error | null, bytes: number) => void
) => void

/**
 * One transfer through the pool at a time, again and again: its callback is bound when it is made, so that using it
 * once more costs no closure.
 */
export class Transfer {
  /** The request that it works for; kept here for whoever uses it. */
  io: BlockIo | undefined
  /** Which way the bytes go. */
  reading = true
  /** Milliseconds, `performance.now`: for its user, as `io`. */
  startedAt = 0
  private fd = -1
  private buffer: Buffer = ZEROES
  private start = 0
  private length = 0
  private offset = 0
  private resumes = 0

  /** @param done - called once for each transfer, never while it is being started */
  constructor(private readonly done: (transfer: Transfer, error: Error | undefined) => void) {}

  read(fd: number, buffer: Buffer, start: number, length: number, offset: number): void {
    this.reading = true
    this.begin(fd, buffer, start, length, offset)
  }

  write(fd: number, buffer: Buffer, start: number, length: number, offset: number): void {
    this.reading = false
    this.begin(fd, buffer, start, length, offset)
  }

  private begin(fd: number, buffer: Buffer, start: number, length: number, offset: number): void {
    this.fd = fd
    this.buffer = buffer
    this.start = start
    this.length = length
    this.offset = offset
    this.resumes = 0
    this.next()
  }

  private next(): void {
    const move = (this.reading ? fs.read : fs.write) as PooledMove
    move(this.fd, this.buffer, this.start, Math.min(this.length, CALL_BYTES_MAX), this.offset, this.moved)
  }

  private readonly moved = (error: Error | null, bytes: number): void => {
    if (error && !isTransient(error)) return this.end(error)
    const count = error ? 0 : bytes
    this.start += count
    this.offset += count
    this.length -= count
    if (this.length === 0) return this.end(undefined)
    if ((!error && count === 0) || ++this.resumes > RESUMES_MAX) return this.end(this.short())
    this.next()
  }

  private short(): Error {
    return this.reading ? shortRead() : shortWrite()
  }

  private end(error: Error | undefined): void {
    this.buffer = ZEROES
    this.done(this, error)
  }
}

function isTransient(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'EINTR' || code === 'EAGAIN'
}

function shortRead(): IscsiError {
  return new IscsiError('EIO', 'the file ends before the range that was read: it was cut while in use')
}

function shortWrite(): IscsiError {
  return new IscsiError('EIO', 'the file took fewer bytes than it was given')
}
