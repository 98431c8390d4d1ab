import { powerShellText, shellWord } from '../quote.js'

/** How the server was started. */
export interface Invocation {
  /** node and main.cjs, absolute. */
  readonly program: readonly string[]
  readonly args: readonly string[]
  readonly directory: string
}

/** One line that makes the system start the server with the PC, or undefined where we know of none. */
export function autostart(platform: NodeJS.Platform, invocation: Invocation): string | undefined {
  return AUTOSTARTS[platform]?.(invocation)
}

const AUTOSTARTS: Readonly<Partial<Record<NodeJS.Platform, (invocation: Invocation) => string>>> = {
  win32: taskScheduler,
  linux: systemd,
  darwin: launchd
}

/** Windows PowerShell as administrator. A task ends after three days and on batteries unless it is told otherwise. */
function taskScheduler({ program: [node, ...program], args, directory }: Invocation): string {
  const argument = [...program, ...args].map(windowsArgument).join(' ')
  return (
    "Register-ScheduledTask -TaskName 'Cloud-x' -User 'SYSTEM' -Trigger (New-ScheduledTaskTrigger -AtStartup) " +
    `-Action (New-ScheduledTaskAction -Execute ${powerShellText(node!)} -Argument ${powerShellText(argument)} ` +
    `-WorkingDirectory ${powerShellText(directory)}) -Settings (New-ScheduledTaskSettingsSet ` +
    '-ExecutionTimeLimit ([TimeSpan]::Zero) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries)'
  )
}

/** As CommandLineToArgvW reads it: backslashes are plain but in front of a quote. */
function windowsArgument(text: string): string {
  if (/^[^\s"]+$/.test(text)) return text
  return `"${text.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`
}

function systemd({ program, args, directory }: Invocation): string {
  const lines = [
    '[Unit]',
    'Description=Cloud-x',
    'Wants=network-online.target',
    'After=network-online.target',
    '[Service]',
    `WorkingDirectory=${directory.replaceAll('%', '%%')}`,
    `ExecStart=${[...program, ...args].map(systemdArgument).join(' ')}`,
    'Restart=on-failure',
    '[Install]',
    'WantedBy=multi-user.target'
  ]
  return (
    `printf '%s\\n' ${lines.map(shellWord).join(' ')} | sudo tee /etc/systemd/system/cloudx.service && ` +
    'sudo systemctl enable --now cloudx'
  )
}

/** systemd.service(5), "Command lines": % and $ are doubled, quotes and backslashes escaped. */
function systemdArgument(text: string): string {
  const escaped = text.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')
  return `"${escaped}"`
}

function launchd({ program, args, directory }: Invocation): string {
  const words = [...program, ...args].map((word) => `<string>${xml(word)}</string>`).join('')
  const plist =
    '<plist version="1.0"><dict><key>Label</key><string>cloudx</string><key>RunAtLoad</key><true/>' +
    `<key>WorkingDirectory</key><string>${xml(directory)}</string>` +
    `<key>ProgramArguments</key><array>${words}</array></dict></plist>`
  const path = '/Library/LaunchDaemons/cloudx.plist'
  return `printf '%s\\n' ${shellWord(plist)} | sudo tee ${path} && sudo launchctl load -w ${path}`
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
