import { Buffer } from 'node:buffer'

const PAGE_LENGTH = 4096

/**
 * What a volume should hold, in the plainest form that works for big volumes: pages in a map, zeroes elsewhere. No
 * code of the product is used here.
 */
export class SparseModel {
  private readonly pages = new Map<number, Buffer>()

  constructor(
    readonly size: number,
    content?: Buffer
  ) {
    if (content) this.write(content, 0)
  }

  read(offset: number, length: number): Buffer {
    const out = Buffer.alloc(length)
    this.eachPage(offset, length, (page, from, to, at) => void this.pages.get(page)?.copy(out, at, from, to))
    return out
  }

  write(bytes: Buffer, offset: number): void {
    this.eachPage(offset, bytes.length, (page, from, to, at) => {
      let held = this.pages.get(page)
      if (!held) this.pages.set(page, (held = Buffer.alloc(PAGE_LENGTH)))
      bytes.copy(held, from, at, at + to - from)
    })
  }

  zero(offset: number, length: number): void {
    this.eachPage(offset, length, (page, from, to) => void this.pages.get(page)?.fill(0, from, to))
  }

  private eachPage(
    offset: number,
    length: number,
    visit: (page: number, from: number, to: number, at: number) => void
  ): void {
    if (offset < 0 || offset + length > this.size) throw new RangeError(`${offset}+${length} of ${this.size}`)
    let at = 0
    while (at < length) {
      const page = Math.floor((offset + at) / PAGE_LENGTH)
      const from = (offset + at) % PAGE_LENGTH
      const to = Math.min(PAGE_LENGTH, from + length - at)
      visit(page, from, to, at)
      at += to - from
    }
  }
}
