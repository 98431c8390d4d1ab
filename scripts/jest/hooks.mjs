/**
 * Module hooks of Node for spec processes: source files are TypeScript and name each other by what the compiler will
 * make of them (`./x.js`); what specs import as `@jest/globals` are the runner's own functions.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { typeless } from './typeless.mjs'

const GLOBALS = new URL('./globals.mjs', import.meta.url).href

export function resolve(specifier, context, next) {
  if (specifier === '@jest/globals') return { url: GLOBALS, shortCircuit: true }
  if (!isOwn(specifier, context.parentURL)) return next(specifier, context)
  const url = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL)
  return existsSync(url) ? { url: url.href, format: 'module', shortCircuit: true } : next(specifier, context)
}

export function load(url, context, next) {
  if (!/^file:.*\.ts(\?|$)/.test(url)) return next(url, context)
  const path = fileURLToPath(url)
  return { format: 'module', source: typeless(path, readFileSync(path, 'utf8')).code, shortCircuit: true }
}

function isOwn(specifier, parent) {
  return /^\.{1,2}\/.*\.js$/.test(specifier) && /^file:.*\.ts(\?|$)/.test(parent ?? '')
}
