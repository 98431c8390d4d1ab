import type { Control, CopyPart } from '../target/control.js'
import { AdminError } from './errors.js'

/** What all routes may use. */
export interface RouteContext {
  readonly control: Control
  readonly version: string
}

export interface RouteRequest {
  /** The parsed body of a POST; undefined without one. */
  readonly body: unknown
}

/** One order or question: a resource is a file in routes/ with its list of these, and a line in its index. */
export type Route = AnswerRoute | StreamRoute

interface RoutePlace {
  readonly method: 'GET' | 'POST'
  /** Exact, with the version of the interface in front. */
  readonly path: string
}

export interface AnswerRoute extends RoutePlace {
  /** Answers plain values, which become the JSON body. */
  answer(request: RouteRequest, context: RouteContext): Promise<unknown>
}

export interface StreamRoute extends RoutePlace {
  /** Answers more bytes than a JSON value can hold; see copy-stream.ts. */
  stream(request: RouteRequest, context: RouteContext): AsyncIterable<CopyPart>
}

/** A field of an order. Throws AdminError ERR_ADMIN_REQUEST with its name. */
export function textField(body: unknown, name: string): string {
  const value = fieldOf(body, name)
  if (typeof value !== 'string' || value === '') throw wrong(name, 'a text')
  return value
}

export function optionalText(body: unknown, name: string): string | undefined {
  return fieldOf(body, name) === undefined ? undefined : textField(body, name)
}

/** One word of a list. */
export function optionalChoice<T extends string>(body: unknown, name: string, words: readonly T[]): T | undefined {
  const value = optionalText(body, name)
  const word = words.find((one) => one === value)
  if (value !== undefined && word === undefined) throw wrong(name, words.join(' or '))
  return word
}

/** A whole number from 0. */
export function optionalCount(body: unknown, name: string): number | undefined {
  const value = fieldOf(body, name)
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(name, 'a whole number')
  return value
}

export function optionalSwitch(body: unknown, name: string): boolean {
  const value = fieldOf(body, name)
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw wrong(name, 'true or false')
  return value
}

/** Texts, none of them empty; without the field there are none. */
export function optionalTexts(body: unknown, name: string): readonly string[] {
  const value = fieldOf(body, name)
  if (value === undefined) return []
  const isText = (item: unknown): item is string => typeof item === 'string' && item !== ''
  if (!Array.isArray(value) || !value.every(isText)) throw wrong(name, 'a list of texts')
  return value
}

/** A mistyped field must not be an order without it. */
export function refuseOthers(body: unknown, names: readonly string[]): void {
  const other = Object.keys(objectOf(body)).find((name) => !names.includes(name))
  if (other !== undefined) throw new AdminError('ERR_ADMIN_REQUEST', `there is no field "${other}" in this order`)
}

function fieldOf(body: unknown, name: string): unknown {
  return objectOf(body)[name] ?? undefined
}

function objectOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>
  throw new AdminError('ERR_ADMIN_REQUEST', 'the order must be a JSON object')
}

function wrong(name: string, expected: string): AdminError {
  return new AdminError('ERR_ADMIN_REQUEST', `"${name}" must be ${expected}`)
}
