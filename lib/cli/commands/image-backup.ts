import { resolve } from 'node:path'
import type { ImageView } from '../../target/control.js'
import { BackupFolder } from '../../target/backup/backup-folder.js'
import { describeBackup, makeBackup, type BackupRequest } from '../../target/backup/make-backup.js'
import { pruneBackups } from '../../target/backup/prune.js'
import type { AdminClient } from '../../admin/client.js'
import { tell, withJson, type Command } from '../command.js'
import { findServer } from '../find-server.js'
import { chosenImage, imageOf, withImage } from '../image-place.js'
import { wholeNumber } from '../options.js'
import { withProgress } from '../progress.js'

/** Copies the current generation to another place, where it stays. */
export const imageBackup: Command = {
  usage: 'backup <folder> [where]',
  about: 'Back up the current generation into a folder: whole the first time, then what has changed',
  examples: [
    ['cloudx image backup /media/usb/share', 'Into a folder of another disk, or of a network drive'],
    ['cloudx image backup /media/usb/share --keep 7', 'The seven newest stay; older ones go when those are whole']
  ],
  options: (yargs) =>
    withJson(
      withImage(yargs.positional('folder', { type: 'string', describe: 'A folder for backups of this image alone' }))
    ).option('keep', { nargs: 1, requiresArg: true, describe: 'Backups that stay; without it all of them do' }),

  async run(args, context) {
    const keep = wholeNumber(args, 'keep', [1, 999_999], 'a number from 1 on')
    const { client } = await findServer(args, context)
    const image = chosenImage((await client.images()).images, await imageOf(args, context))
    const folder = await BackupFolder.open(resolve(context.directory, String(args.folder)), true)
    try {
      const request = requestFor(client, image, Date.now())
      const made = await withProgress(context.stderr, (update) => makeBackup(folder, request, update))
      const removed =
        keep === undefined ? 0 : await withProgress(context.stderr, (update) => pruneBackups(folder, keep, update))
      const { backup, isNew, storedBytes } = made
      tell(args, context, { folder: folder.path, isNew, storedBytes, removed, ...backup }, () => [
        `${folder.path}: ${describeBackup(made)}.`,
        ...(removed === 0 ? [] : [`Removed: ${removed}. Left, and whole: ${folder.backups.length}.`])
      ])
    } finally {
      await folder.close()
    }
    return 0
  }
}

function requestFor(client: AdminClient, image: ImageView, now: number): BackupRequest {
  const { uuid, backupUuid, path, current, generations } = image
  const newest = generations.find(({ number }) => number === current)!
  return {
    imageUuid: backupUuid,
    imagePath: path,
    generation: { number: current, time: newest.time, note: newest.note },
    sizeBytes: newest.size,
    root: newest.hash,
    knowsSince: ({ number, time }) => liesOver(image, number) && timeOf(image, number) === time,
    copy: (fromBytes, since) => client.exportImage({ image: uuid, generation: current, fromBytes, since }),
    now
  }
}

/** The current generation lies over that one, and all layers between them are there. */
function liesOver({ generations, current }: ImageView, wanted: number): boolean {
  const parents = new Map(generations.flatMap((one) => (one.available ? [[one.number, one.parent] as const] : [])))
  for (let number: number | undefined = current; number !== undefined && parents.has(number);) {
    if (number === wanted) return true
    number = parents.get(number)
  }
  return false
}

function timeOf({ generations }: ImageView, wanted: number): number | undefined {
  return generations.find(({ number }) => number === wanted)?.time
}
