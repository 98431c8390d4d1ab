/** Every sentence that a person reads outside the log, once for each language: a table that misses one is no Text. */
export interface Text {
  readonly secret: SecretText
}

export interface SecretText {
  made(path: string): string
  readonly use: string
  readonly clients: string
  readonly windowsAccess: string
  exists(path: string): string
}
