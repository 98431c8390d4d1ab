import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { imageCreateWith } from '../../../lib/cli/commands/image-create.js'
import { image } from '../../../lib/cli/commands/image.js'
import { main } from '../../../lib/cli/index.js'
import { TextOutput } from '../../support/text-output.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-image-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function run(argv: string[], stopped: Promise<NodeJS.Signals> = new Promise(() => {})) {
  const [stdout, stderr] = [new TextOutput(), new TextOutput()]
  const context = { environment: {}, directory: folder, stdout, stderr }
  const verb = { ...image, subcommands: [imageCreateWith(() => ({ stopped, end: () => undefined }))] }
  const exitCode = await main(['image', ...argv], context, [verb])
  const clean = (text: string) => text.replaceAll(folder, '')
  return { exitCode, stdout: clean(stdout.text), stderr: clean(stderr.text) }
}

describe('cloudx image create', () => {
  it.each([
    [[], '/new.img: an empty drive CLOUD-X of 8 GiB, sparse.\n', 8 * 2 ** 30],
    [['--size', '64M', '--label', '공유'], '/new.img: an empty drive 공유 of 64 MiB, sparse.\n', 2 ** 26],
    [['--size', '1T', '--blank'], '/new.img: 1 TiB of zeroes, sparse.\n', 2 ** 40]
  ])('makes an image with %j', async (options, said, bytes) => {
    expect(await run(['create', 'new.img', ...options])).toEqual({ exitCode: 0, stdout: said, stderr: '' })
    expect(statSync(join(folder, 'new.img')).size).toBe(bytes)
    const again = await run(['create', 'new.img', ...options])
    expect(again).toEqual({ exitCode: 1, stdout: '', stderr: 'cloudx: /new.img exists already; nothing was changed\n' })
  })

  it('speaks Korean where the system or --language does', async () => {
    const said = await run(['create', 'new.img', '--size', '64M', '--language', 'ko'])
    expect(said.stdout).toBe('/new.img: 64 MiB 빈 드라이브 CLOUD-X을(를) 만들었습니다(쓴 만큼만 공간 차지).\n')
  })

  it('takes over a folder, and tells how far it is and what it left out', async () => {
    mkdirSync(join(folder, 'in/System Volume Information'), { recursive: true })
    writeFileSync(join(folder, 'in/a'), Buffer.alloc(1000, 1))
    expect(await run(['create', 'new.img', '--from', 'in', '--size', '8M'])).toEqual({
      exitCode: 0,
      stdout: '/new.img: a drive CLOUD-X of 8 MiB, sparse, with 1 file and 0 folders, 1000 bytes in all.\n',
      stderr: 'Left out: /in/System Volume Information belongs to the system.\n100 %, 1000 bytes of 1000 bytes\n'
    })
  })

  it.each<[string, string[], string]>([
    ['no action', [], 'image: say what to do; --help shows it'],
    ['another action', ['mend'], 'There is no command "mend"; --help lists all of them.'],
    ['a wrong size', ['create', 'x', '--size', '1Q'], '--size: "1Q" must be a size from 1M such as 20G or 512M'],
    ['two sizes', ['create', 'x', '--size', '1G', '--size', '2G'], '--size: was given 2 times'],
    [
      'half a block',
      ['create', 'x', '--size', '1049088', '--block-size', '4096'],
      '--size: 1049088 bytes is not a multiple of the block size, 4096'
    ],
    [
      'a long label',
      ['create', 'x', '--label', 'x'.repeat(12)],
      `--label: "${'x'.repeat(12)}" is 12 characters long, and exFAT has room for 11`
    ],
    ['zeroes with a label', ['create', 'x', '--blank', '--label', 'a'], '--blank: a disk of zeroes has no label'],
    [
      'zeroes from a folder',
      ['create', 'x', '--blank', '--from', 'a'],
      '--blank: a disk of zeroes holds no folder; leave out --blank or --from'
    ],
    [
      'a size that is too small',
      ['create', 'x', '--size', '1M'],
      '1 MiB is too small for a drive with a file system: take --size 3M or more, or --blank for a disk of zeroes'
    ],
    ['a folder that is not there', ['create', 'x', '--from', 'gone'], '--from: /gone does not exist'],
    ['a mistyped option', ['create', 'x', '--form', 'a'], 'Unknown option --form; did you mean --from?'],
    ['an empty name', ['create', ''], 'The name of the image is empty.']
  ])('refuses %s and makes nothing', async (_what, argv, sentence) => {
    expect(await run(argv)).toEqual({ exitCode: 1, stdout: '', stderr: `cloudx: ${sentence}\n` })
    expect(readdirSync(folder)).toEqual([])
  })

  it('refuses a name whose state directory is there', async () => {
    mkdirSync(join(folder, 'x.cloudx'))
    expect((await run(['create', 'x'])).stderr).toMatch(/x does not exist, but \/x\.cloudx does/)
    expect(existsSync(join(folder, 'x'))).toBe(false)
  })

  it('ends with 130 after a stop signal and leaves nothing', async () => {
    mkdirSync(join(folder, 'in'))
    writeFileSync(join(folder, 'in/a'), 'x')
    const { exitCode, stderr } = await run(['create', 'new.img', '--from', 'in'], Promise.resolve('SIGINT'))
    expect([exitCode, stderr]).toEqual([130, 'cloudx: Interrupted; there is no /new.img.\n'])
    expect(readdirSync(folder)).toEqual(['in'])
  })

  it('explains itself with examples', async () => {
    const { exitCode, stdout } = await run(['create', '--help'])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/cloudx image create share\.img --size 50G --from/)
    expect(stdout).toMatch(/--label/)
  })
})
