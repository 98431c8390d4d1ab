import { commandFor, ok, problem, unknown, type Check, type Situation } from '../check.js'

/** This program did not exist before. */
const EARLIEST = Date.UTC(2025, 0, 1)
const COMMANDS = {
  win32:
    'Set-Service w32time -StartupType Automatic; Start-Service w32time; w32tm /config /update /manualpeerlist:time.windows.com /syncfromflags:manual; w32tm /resync',
  darwin: 'sudo systemsetup -setusingnetworktime on',
  linux: 'sudo timedatectl set-ntp true'
}

export const clock: Check = {
  name: 'clock',
  async examine(situation) {
    const { system, text } = situation
    const command = commandFor(situation, COMMANDS)
    if (system.now().getTime() < EARLIEST) return problem(text.clockWrong, command)
    const kept = await (QUESTIONS[system.platform] ?? onLinux)(situation)
    if (kept === undefined) return unknown(text.clockUnknown, command)
    return kept ? ok(text.clockRight) : problem(text.clockAlone, command)
  }
}

/** Whether a time server keeps the clock right; undefined = not told. */
type Question = (situation: Situation) => Promise<boolean | undefined>

const QUESTIONS: Readonly<Partial<Record<NodeJS.Platform, Question>>> = { win32: onWindows, darwin: onMacOs }

async function onLinux({ system }: Situation): Promise<boolean | undefined> {
  const outcome = await system.run('timedatectl', ['show', '--property=NTPSynchronized', '--value'])
  return outcome?.code === 0 ? outcome.output.trim() === 'yes' : undefined
}

/** NTP: from a server; NT5DS: from the domain; NoSync: from nobody. */
async function onWindows({ system }: Situation): Promise<boolean | undefined> {
  const key = String.raw`HKLM\SYSTEM\CurrentControlSet\Services\W32Time\Parameters`
  const outcome = await system.run('reg.exe', ['query', key, '/v', 'Type'])
  const [, type] = /Type\s+REG_SZ\s+(\w+)/.exec(outcome?.output ?? '') ?? []
  return type === undefined ? undefined : type !== 'NoSync'
}

async function onMacOs({ system }: Situation): Promise<boolean | undefined> {
  const outcome = await system.run('systemsetup', ['-getusingnetworktime'])
  const [, word] = /Network Time: (On|Off)/.exec(outcome?.output ?? '') ?? []
  return word === undefined ? undefined : word === 'On'
}
