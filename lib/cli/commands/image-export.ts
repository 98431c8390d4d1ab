import { resolve } from 'node:path'
import { formatSize } from '../../util/units.js'
import { asJson, print, withJson, type Command } from '../command.js'
import { COPY_FORMATS, formatOf, needQemuImg, writeCopy, writeQcow2 } from '../copy-file.js'
import { findServer } from '../find-server.js'
import { imageOf, numberOf, withImage } from '../image-place.js'
import { Progress } from '../progress.js'

/** A generation as a file. */
export const imageExport: Command = {
  usage: 'export <file> [where]',
  about: 'Copy a generation of an image into a file, raw or qcow2',
  examples: [
    ['cloudx image export monday.img ./share.img', 'The current generation, as a sparse raw image'],
    ['cloudx image export seven.qcow2 --generation 7', 'Generation 7 as qcow2, by qemu-img']
  ],
  options: (yargs) =>
    withJson(
      withImage(
        yargs.positional('file', { type: 'string', describe: 'The file to make; nothing may have this name yet' })
      )
    )
      .option('generation', { nargs: 1, requiresArg: true, describe: 'Its number; without it the current one' })
      .option('format', { choices: COPY_FORMATS, describe: 'That of the file name when absent' }),

  async run(args, context) {
    const file = resolve(context.directory, String(args.file))
    const format = COPY_FORMATS.find((one) => one === args.format) ?? formatOf(file)
    if (format === 'qcow2') await needQemuImg()
    const { client } = await findServer(args, context)
    const generation = numberOf(args, 'generation')
    const parts = client.exportImage({ image: await imageOf(args, context), generation })
    const progress = new Progress(context.stderr)
    const update = (done: number, total: number) => progress.update(done, total)
    const bytes = await (format === 'qcow2' ? writeQcow2 : writeCopy)(parts, file, update).finally(() => progress.end())
    if (asJson(args)) print(context.stdout, JSON.stringify({ file, format, bytes }, undefined, 2))
    else print(context.stdout, `${file}: ${formatSize(bytes)}, ${format}.`)
    return 0
  }
}
