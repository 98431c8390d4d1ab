import { ok, problem, unknown, type Check, type Finding, type Situation } from '../check.js'

export const sleep: Check = {
  name: 'sleep',
  examine: (situation) => (SYSTEMS[situation.system.platform] ?? onLinux)(situation)
}

const SYSTEMS: Readonly<Partial<Record<NodeJS.Platform, (situation: Situation) => Promise<Finding>>>> = {
  win32: onWindows,
  darwin: onMacOs
}

const GNOME = ['org.gnome.settings-daemon.plugins.power', 'sleep-inactive-ac-type'] as const

async function onLinux({ system, text }: Situation): Promise<Finding> {
  const states = await system.read('/sys/power/state')
  if (states === undefined || !/\b(mem|standby|freeze)\b/.test(states)) return ok(text.sleepNever)
  const unit = await system.run('systemctl', ['is-enabled', 'sleep.target'])
  if (unit?.output.trim() === 'masked') return ok(text.sleepNever)
  const desktop = await system.run('gsettings', ['get', ...GNOME])
  if (desktop?.code === 0) {
    return /nothing/.test(desktop.output)
      ? ok(text.sleepNever)
      : problem(text.sleepOn, `gsettings set ${GNOME.join(' ')} nothing`)
  }
  return unknown(
    text.sleepUnknown,
    'sudo systemctl mask sleep.target suspend.target hibernate.target hybrid-sleep.target'
  )
}

/** The labels are translated; the last two numbers are always the seconds on mains and on battery. */
async function onWindows({ system, text }: Situation): Promise<Finding> {
  const command = 'powercfg /change standby-timeout-ac 0'
  const outcome = await system.run('powercfg.exe', ['/query', 'SCHEME_CURRENT', 'SUB_SLEEP', 'STANDBYIDLE'])
  const numbers = [...(outcome?.output ?? '').matchAll(/: 0x([0-9a-f]{8})\s*$/gim)].map(([, hex]) =>
    Number.parseInt(hex!, 16)
  )
  if (outcome?.code !== 0 || numbers.length < 2) return unknown(text.sleepUnknown, command)
  return numbers.at(-2) === 0 ? ok(text.sleepNever) : problem(text.sleepOn, command)
}

async function onMacOs({ system, text }: Situation): Promise<Finding> {
  const command = 'sudo pmset -c sleep 0'
  const outcome = await system.run('pmset', ['-g', 'custom'])
  const [, minutes] = /^\s+sleep\s+(\d+)/m.exec((outcome?.output ?? '').replace(/^[^]*AC Power:/, '')) ?? []
  if (minutes === undefined) return unknown(text.sleepUnknown, command)
  return minutes === '0' ? ok(text.sleepNever) : problem(text.sleepOn, command)
}
