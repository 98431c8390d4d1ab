import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { findState, stateBeside, statesBeside } from '../../lib/target/state-place.js'
import { codeOf } from '../../lib/util/errors.js'

it('puts the state of an image beside it, under its whole name', () => {
  expect(stateBeside('/srv/share.img')).toBe('/srv/share.img.cloudx')
})

it('finds it beside the name of a link and beside the file, or where it is said to be', async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'cloudx-place-')))
  const [image, link, named] = ['share.img', 'link.img', 'state'].map((name) => join(folder, name)) as [
    string,
    string,
    string
  ]
  const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
  try {
    writeFileSync(image, '')
    symlinkSync(image, link)
    expect([await statesBeside(link), await findState(link, undefined)]).toEqual([[], undefined])
    mkdirSync(`${image}.cloudx`)
    expect([await findState(link, undefined), await findState(image, undefined)]).toEqual([
      `${image}.cloudx`,
      `${image}.cloudx`
    ])
    mkdirSync(`${link}.cloudx`)
    expect(await statesBeside(link)).toEqual([`${link}.cloudx`, `${image}.cloudx`])
    expect(await failure(findState(link, undefined))).toBe('ERR_ISCSI_STATE')
    for (const make of [() => undefined, () => mkdirSync(named)]) {
      make()
      expect(await failure(findState(link, named))).toBe('ERR_ISCSI_STATE')
    }
    writeFileSync(join(named, 'state.json'), '{"version":1}')
    expect(await findState(link, named)).toBe(named)
    // Two names of one place are one.
    rmSync(`${link}.cloudx`, { recursive: true })
    symlinkSync(`${image}.cloudx`, `${link}.cloudx`)
    expect(await findState(link, undefined)).toBe(`${image}.cloudx`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
