import { TargetError } from './errors.js'

/** Reads typed fields of a record that somebody may have edited; every complaint names the file and the field. */
export class Fields {
  private readonly record: Readonly<Record<string, unknown>>

  constructor(
    private readonly source: string,
    value: unknown
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.wrong('it', 'an object')
    this.record = value as Record<string, unknown>
  }

  string(name: string): string {
    const value = this.record[name]
    if (typeof value !== 'string') throw this.wrong(name, 'a string')
    return value
  }

  /** So many lower-case hex digits. */
  hex(name: string, digits: number): string {
    const text = this.string(name)
    if (text.length !== digits || !/^[0-9a-f]*$/.test(text)) throw this.wrong(name, `${digits} hex digits`)
    return text
  }

  /** A number that is an integer from 0 to 2^53 - 1. */
  count(name: string): number {
    const value = this.record[name]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw this.wrong(name, 'a whole number')
    return value
  }

  /** A whole number of any size that is written as a string, because JSON's numbers end at 2^53. */
  decimal(name: string): bigint {
    const text = this.string(name)
    if (!/^-?\d{1,20}$/.test(text)) throw this.wrong(name, 'digits in quotation marks')
    return BigInt(text)
  }

  /** @param expected - what the field should be */
  expect(right: boolean, name: string, expected: string): void {
    if (!right) throw this.wrong(name, expected)
  }

  boolean(name: string): boolean {
    const value = this.record[name]
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false')
    return value
  }

  optionalString(name: string): string | undefined {
    return this.missing(name) ? undefined : this.string(name)
  }

  optionalBoolean(name: string): boolean | undefined {
    return this.missing(name) ? undefined : this.boolean(name)
  }

  optionalCount(name: string): number | undefined {
    return this.missing(name) ? undefined : this.count(name)
  }

  strings(name: string): string[] {
    return this.list(name).map((item) => {
      if (typeof item !== 'string') throw this.wrong(name, 'a list of strings')
      return item
    })
  }

  /** A list of at most a few thousand records, each read by `read`. */
  records<T>(name: string, read: (fields: Fields) => T): T[] {
    return this.list(name).map((item) => read(new Fields(`${this.source}, ${name}`, item)))
  }

  optionalRecords<T>(name: string, read: (fields: Fields) => T): T[] | undefined {
    return this.missing(name) ? undefined : this.records(name, read)
  }

  optionalRecord<T>(name: string, read: (fields: Fields) => T): T | undefined {
    return this.missing(name) ? undefined : read(new Fields(`${this.source}, ${name}`, this.record[name]))
  }

  /** Refuses a record that a later version of Cloud-x wrote. */
  version(known: number): void {
    const version = this.count('version')
    if (version === known) return
    throw new TargetError(
      'ERR_ISCSI_STATE',
      `${this.source} has format version ${version}; this version of Cloud-x knows ${known}`
    )
  }

  private list(name: string): unknown[] {
    const value = this.record[name]
    if (!Array.isArray(value)) throw this.wrong(name, 'a list')
    return value as unknown[]
  }

  private missing(name: string): boolean {
    return this.record[name] === undefined || this.record[name] === null
  }

  private wrong(name: string, expected: string): TargetError {
    return new TargetError('ERR_ISCSI_STATE', `${this.source} is damaged: ${name} should be ${expected}`)
  }
}
