import { Writable } from 'node:stream'

/** A standard output or error that keeps what was written to it. */
export class TextOutput extends Writable {
  text = ''

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}
