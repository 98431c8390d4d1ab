import { ownAddresses } from './addresses.js'
import type { System } from './system.js'

/** Files that Docker and Podman put into every container. */
const MARKS = ['/.dockerenv', '/run/.containerenv']

/**
 * The address that this container has in a network of its own, where no other PC finds it; undefined outside of
 * containers, and in one that uses the network of its host.
 */
export async function containerAddress(system: System): Promise<string | undefined> {
  if (system.platform !== 'linux' || !(await isContainer(system))) return undefined
  const [first] = await ownAddresses(system)
  return first !== undefined && (await isVirtualCable(system, first.interfaceName)) ? first.address : undefined
}

/** systemd-nspawn, LXC, Podman and Buildah set `container`, Kubernetes tells its service. */
async function isContainer(system: System): Promise<boolean> {
  const { container, KUBERNETES_SERVICE_HOST: service } = system.environment
  if (container !== undefined || service !== undefined) return true
  const marks = await Promise.all(MARKS.map((path) => system.read(path)))
  return marks.some((text) => text !== undefined)
}

/**
 * A pair of virtual adapters joins a container to its host: then the other end has another number, and the kernel has no
 * word for the kind. A macvlan also lies on another adapter, and says so: its address is one of the network outside.
 */
async function isVirtualCable(system: System, interfaceName: string): Promise<boolean> {
  const folder = `/sys/class/net/${interfaceName}`
  const [own, other, event] = await Promise.all(
    ['ifindex', 'iflink', 'uevent'].map((name) => system.read(`${folder}/${name}`))
  )
  if (own === undefined || other === undefined) return false
  return own.trim() !== other.trim() && !/^DEVTYPE=/m.test(event ?? '')
}
