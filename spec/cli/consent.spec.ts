import { describe, expect, it } from '@jest/globals'
import { agreeToDiscards, askAtTerminal } from '../../lib/cli/consent.js'
import type { InitiatorView } from '../../lib/target/control.js'
import type { ServerOptions } from '../../lib/target/options.js'

const TARGET = 'iqn.2026-01.org.example:disk'

function optionsWith(authors: string[], authorDiscards: boolean): ServerOptions {
  return { targets: [{ name: TARGET, authors, authorDiscards }] } as unknown as ServerOptions
}

function holder(initiatorName: string, bytes: number, targetName = TARGET): InitiatorView {
  return { initiatorName, targetName, units: [{ lun: 0, stored: bytes > 0, bytes }] } as unknown as InitiatorView
}

function controlOf(...initiators: InitiatorView[]) {
  return { initiators: () => Promise.resolve(initiators) }
}

describe('--author-discards', () => {
  it.each([
    ['is not set', optionsWith(['local'], false)],
    ['has no author', optionsWith([], true)]
  ])('asks nothing when it %s', async (_why, options) => {
    const asked: string[] = []
    const ask = (question: string) => Promise.resolve(asked.push(question) > 0)
    await agreeToDiscards(options, controlOf(holder('iqn.a:pc', 4096)), false, ask)
    expect(asked).toEqual([])
  })

  it('names whose changes would go now, of its own targets alone', async () => {
    const asked: string[] = []
    const ask = (question: string) => Promise.resolve(asked.push(question) > 0)
    const others = [holder('iqn.a:empty', 0), holder('iqn.a:elsewhere', 9, 'iqn.2026-01.org.example:other')]
    const control = controlOf(holder('iqn.a:pc-1', 3 * 1024 * 1024), ...others)
    await agreeToDiscards(optionsWith(['local'], true), control, false, ask)
    expect(asked).toEqual([
      'With --author-discards the login of an author drops what other clients wrote. ' +
        'Now these would lose their changes: iqn.a:pc-1 (3 MiB).'
    ])
  })

  it('serves nothing when the answer is no', async () => {
    const no = () => Promise.resolve(false)
    const answer = agreeToDiscards(optionsWith(['local'], true), controlOf(), false, no)
    await expect(answer).rejects.toThrow('Nothing was dropped')
  })

  it('wants --yes where nobody can be asked', async () => {
    const options = optionsWith(['local'], true)
    await expect(agreeToDiscards(options, controlOf(), false, undefined)).rejects.toThrow('add --yes')
    await agreeToDiscards(options, controlOf(), true, undefined)
  })

  it('asks at a terminal alone', () => {
    expect(askAtTerminal({ isTTY: false } as NodeJS.ReadStream, process.stderr)).toBeUndefined()
    expect(askAtTerminal({ isTTY: true } as NodeJS.ReadStream, process.stderr)).toBeInstanceOf(Function)
  })
})
