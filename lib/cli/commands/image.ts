import type { Command } from '../command.js'
import { imageBackup } from './image-backup.js'
import { imageCreate } from './image-create.js'
import { imageExport } from './image-export.js'
import { imageFlatten } from './image-flatten.js'
import { imageGrow } from './image-grow.js'
import { imageHistory } from './image-history.js'
import { imageInfo } from './image-info.js'
import { imageNewId } from './image-new-id.js'
import { imagePublish } from './image-publish.js'
import { imagePush } from './image-push.js'
import { imageRestore } from './image-restore.js'
import { imageRollback } from './image-rollback.js'
import { imageTest } from './image-test.js'
import { imageVerify } from './image-verify.js'

/** Images and their generations; one file an action, and a line here. */
export const image: Command = {
  usage: 'image',
  about: 'Make an image; publish, roll back and look after its generations',
  examples: [
    ['cloudx image create share.img --size 50G --from ./folder', 'Make an image with what is in a folder'],
    ['cloudx image publish ./share.img --note "new player"', 'What the author wrote is what new logins get'],
    ['cloudx image rollback ./share.img', 'New logins get the generation before']
  ],
  subcommands: [
    imageCreate,
    imageInfo,
    imageHistory,
    imagePublish,
    imagePush,
    imageRollback,
    imageTest,
    imageFlatten,
    imageVerify,
    imageGrow,
    imageExport,
    imageBackup,
    imageRestore,
    imageNewId
  ],
  options: (yargs) => yargs,
  run: () => Promise.resolve(0)
}
