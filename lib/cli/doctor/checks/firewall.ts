import { powerShell, type System } from '../../host/system.js'
import { openWindowsFirewall } from '../../recipes/windows.js'
import { shellWord } from '../../quote.js'
import { ok, problem, unknown, type Check, type Finding, type Situation } from '../check.js'

export const firewall: Check = {
  name: 'firewall',
  examine: (situation) => (FIREWALLS[situation.system.platform] ?? onLinux)(situation)
}

const FIREWALLS: Readonly<Partial<Record<NodeJS.Platform, (situation: Situation) => Promise<Finding>>>> = {
  win32: onWindows,
  darwin: onMacOs
}

/** ufw and firewalld first, because they write the rules of nftables; those can be read by root alone. */
async function onLinux(situation: Situation): Promise<Finding> {
  const { system } = situation
  if (/^ENABLED=yes/m.test((await system.read('/etc/ufw/ufw.conf')) ?? '')) return ufw(situation)
  const state = await system.run('firewall-cmd', ['--state'])
  if (state?.code === 0) return firewalld(situation)
  return nftables(situation)
}

async function ufw({ system, text, port }: Situation): Promise<Finding> {
  const command = `sudo ufw allow ${port}/tcp`
  const rules = await system.read('/etc/ufw/user.rules')
  if (rules === undefined) return unknown(text.firewallUnknown, command)
  const opens = rules.split('\n').some((line) => line.includes(`--dport ${port} `) && line.includes('-j ACCEPT'))
  return opens ? ok(text.firewallLets(port)) : problem(text.firewallBlocks(port), command)
}

async function firewalld({ system, text, port }: Situation): Promise<Finding> {
  const command = `sudo firewall-cmd --permanent --add-port=${port}/tcp && sudo firewall-cmd --reload`
  const asked = await system.run('firewall-cmd', [`--query-port=${port}/tcp`])
  if (asked?.code === 0) return ok(text.firewallLets(port))
  return asked?.code === 1 ? problem(text.firewallBlocks(port), command) : unknown(text.firewallUnknown, command)
}

/** iptables-nft shows in `nft` as well; the old kernel interface does not, so both are asked. */
async function nftables({ system, text, port }: Situation): Promise<Finding> {
  const command = `sudo iptables -I INPUT -p tcp --dport ${port} -j ACCEPT`
  const rules = await Promise.all([nftRules(system), iptablesRules(system)])
  const known = rules.filter((list) => list !== undefined)
  if (known.length === 0) return unknown(text.firewallUnknown, command)
  const keepsOut = known.some((list) => /policy drop|^-P INPUT DROP|\b(drop|reject)\b|-j (DROP|REJECT)/m.test(list))
  if (!keepsOut) return ok(text.firewallOff)
  const opens = known.some((list) => new RegExp(`dport (\\{[^}]*\\b)?${port}\\b.*(accept|ACCEPT)`).test(list))
  if (opens) return ok(text.firewallLets(port))
  // A rule that drops something need not drop this; a policy does.
  const drops = known.some((list) => /policy drop|^-P INPUT DROP/m.test(list))
  return drops ? problem(text.firewallBlocks(port), command) : unknown(text.firewallUnknown, command)
}

/** The base chains of the input hook; undefined = not told. */
async function nftRules(system: System): Promise<string | undefined> {
  const outcome = await system.run('nft', ['list', 'ruleset'])
  if (outcome?.code !== 0) return undefined
  const chains = outcome.output.split(/^\s*chain /m).filter((chain) => /hook input/.test(chain))
  return chains.join('\n')
}

async function iptablesRules(system: System): Promise<string | undefined> {
  const outcome = await system.run('iptables', ['-S', 'INPUT'])
  return outcome?.code === 0 ? outcome.output : undefined
}

/**
 * Three words: is any profile on, does a rule open the port, does a rule open everything for node (Windows asks at the
 * first start and makes one).
 */
const WINDOWS_QUESTION = (port: number) =>
  "@(Get-NetFirewallProfile | Where-Object Enabled -eq 'True').Count; " +
  `@(Get-NetFirewallPortFilter -Protocol TCP | Where-Object LocalPort -eq ${port} | Get-NetFirewallRule | ` +
  "Where-Object Enabled -eq 'True' | Where-Object Direction -eq 'Inbound' | Where-Object Action -eq 'Allow').Count; " +
  `@(Get-NetFirewallApplicationFilter -Program '${process.execPath.replaceAll("'", "''")}' -ErrorAction SilentlyContinue | ` +
  "Get-NetFirewallRule | Where-Object Enabled -eq 'True' | Where-Object Direction -eq 'Inbound' | " +
  "Where-Object Action -eq 'Allow').Count"

async function onWindows({ system, text, port }: Situation): Promise<Finding> {
  const command = openWindowsFirewall(port, [])
  const output = await powerShell(system, WINDOWS_QUESTION(port))
  const [profiles, forPort, forProgram] = output?.trim().split(/\s+/).map(Number) ?? []
  if (profiles === undefined || forProgram === undefined) return unknown(text.firewallUnknown, command)
  if (profiles === 0) return ok(text.firewallOff)
  return forPort! + forProgram > 0 ? ok(text.firewallLets(port)) : problem(text.firewallBlocks(port), command)
}

const MAC_FIREWALL = '/usr/libexec/ApplicationFirewall/socketfilterfw'

async function onMacOs({ system, text, port }: Situation): Promise<Finding> {
  const node = shellWord(process.execPath)
  const command = `sudo ${MAC_FIREWALL} --add ${node} --unblockapp ${node}`
  const state = await system.run(MAC_FIREWALL, ['--getglobalstate'])
  if (state?.code !== 0) return unknown(text.firewallUnknown, command)
  if (/State = 0|disabled/.test(state.output)) return ok(text.firewallOff)
  const program = await system.run(MAC_FIREWALL, ['--getappblocked', process.execPath])
  if (program === undefined) return unknown(text.firewallUnknown, command)
  return /permitted/.test(program.output) ? ok(text.firewallLets(port)) : problem(text.firewallBlocks(port), command)
}
