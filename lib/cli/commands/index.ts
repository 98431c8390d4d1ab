import type { Command } from '../command.js'
import { checkConfig } from './check-config.js'
import { delta } from './delta.js'
import { doctor } from './doctor.js'
import { image } from './image.js'
import { initiator } from './initiator.js'
import { secret } from './secret.js'
import { serve } from './serve.js'
import { sessions } from './sessions.js'
import { status } from './status.js'

export const commands: readonly Command[] = [
  serve,
  checkConfig,
  doctor,
  secret,
  image,
  status,
  sessions,
  delta,
  initiator
]
