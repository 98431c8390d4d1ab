import type { Command } from '../command.js'
import { checkConfig } from './check-config.js'
import { secret } from './secret.js'
import { serve } from './serve.js'

export const commands: readonly Command[] = [serve, checkConfig, secret]
