import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describeWhen, isInstalled, run, succeed } from '../support/programs.js'
import { freePort, sha256, workDirectory } from '../support/server-process.js'

/**
 * docker/Dockerfile built and run without a container engine: buildah with chroot isolation, which shares the network of
 * this PC, on a base image of debootstrap and the Node.js of this PC. That needs root.
 */
jest.setTimeout(900_000)

const TARGET = 'iqn.2010-04.local.cloudx:share'
/** Numbers of the user in the Dockerfile. */
const USER = 1000
const BUILD_MS_MAX = 800_000

interface Image {
  readonly config: {
    readonly User: string
    readonly Entrypoint: readonly string[]
    readonly ExposedPorts: object
    readonly Volumes: object
    readonly StopSignal: string
    readonly Healthcheck: { readonly Test: readonly string[] }
  }
}

const NEEDED = ['buildah', 'debootstrap', 'qemu-img', 'qemu-io', 'unshare', 'ip']
const missing = NEEDED.filter((program) => !isInstalled(program))
const possible = process.getuid?.() === 0 && (missing.length === 0 || process.env.CI === 'true')

describeWhen(possible, `needs root, ${missing.join(', ')}`, 'a container of docker/Dockerfile', () => {
  const work = workDirectory()
  const store = ['--root', join(work.path, 'store'), '--runroot', join(work.path, 'run'), '--storage-driver', 'vfs']
  const volumes = { images: join(work.path, 'images'), state: join(work.path, 'state') }
  const mounts = ['-v', `${volumes.images}:/images`, '-v', `${volumes.state}:/state`]
  const inContainer = (...command: string[]) => [
    ...store,
    'run',
    '--isolation',
    'chroot',
    ...mounts,
    'cloudx',
    '--',
    ...command
  ]
  const buildah = (...args: string[]) => succeed('buildah', [...store, ...args], { limitMs: BUILD_MS_MAX })
  let image: Image['config']
  let server: ChildProcess | undefined

  beforeAll(async () => {
    await succeed('bash', ['scripts/e2e/container/base.sh', 'cloudx-base', ...store], { limitMs: BUILD_MS_MAX })
    const npmrc = join(work.path, 'npmrc')
    writeFileSync(npmrc, await npmSettings())
    await buildah(
      ...['bud', '--isolation', 'chroot', '--format', 'docker', '--build-arg', 'BASE=localhost/cloudx-base'],
      ...['--secret', `id=npmrc,src=${npmrc}`, '-f', 'docker/Dockerfile', '-t', 'cloudx', '.']
    )
    const inspected = JSON.parse(await buildah('inspect', '--type', 'image', 'cloudx')) as { Docker: Image }
    image = inspected.Docker.config
    await buildah('from', '--name', 'cloudx', 'cloudx')
    // Buildah would hide our folders behind volumes of its own; an engine puts them in their place.
    await buildah('config', '--volume', '/images-', '--volume', '/state-', 'cloudx')
    for (const path of Object.values(volumes)) {
      mkdirSync(path)
      chownSync(path, USER, USER)
    }
  })
  afterEach(async () => {
    if (server !== undefined && server.exitCode === null) {
      server.kill('SIGKILL')
      await once(server, 'close')
    }
    server = undefined
  })
  afterAll(() => work.remove())

  /** Starts what the image starts, and answers its log, which goes on growing. */
  async function start(args: readonly string[], until: RegExp, launcher: readonly string[] = []): Promise<string[]> {
    const [program, ...line] = [...launcher, 'buildah', ...inContainer(...image.Entrypoint, ...args)]
    const child = spawn(program!, line, { stdio: ['ignore', 'pipe', 'pipe'] })
    server = child
    const log: string[] = []
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (text) => {
          log.push(text)
          if (until.test(text)) resolve()
        })
      }
      child.on('close', () => reject(new Error(`the container ended:\n${log.join('\n')}`)))
    })
    return log
  }

  it('is no root, keeps images and state in volumes, and listens at the port of iSCSI', () => {
    expect(image.User).toBe('1000:1000')
    expect(Object.keys(image.Volumes).toSorted()).toEqual(['/images', '/state'])
    expect(Object.keys(image.ExposedPorts)).toEqual(['3260/tcp'])
    expect(image.StopSignal).toBe('SIGTERM')
  })

  it('holds the program and what it needs to run, and nothing to build it with', async () => {
    const names = await succeed('buildah', inContainer('ls', '-A', '/app', '/app/node_modules'))
    expect(names).toMatch(/^dist$/m)
    expect(names).toMatch(/^yargs$/m)
    expect(names).not.toMatch(/^(lib|spec|typescript|jest|\.npmrc)$/m)
    const npmrc = await run('buildah', inContainer('test', '-e', '/etc/cloudx-npmrc'))
    expect(npmrc.code).toBe(1)
  })

  it('shares a disk that an initiator mounts, tells its health, and stops gracefully', async () => {
    const port = await freePort()
    const health = () => run('buildah', inContainer(...image.Healthcheck.Test.slice(1)))
    expect(image.Healthcheck.Test[0]).toBe('CMD')
    expect((await health()).code).toBe(1)

    const log = await start(['/images/share.img', '--size', '64M', '--port', String(port)], /Listening on/)
    const path = join(volumes.images, 'share.img')
    const before = await sha256(path)
    expect(statSync(path).uid).toBe(USER)
    expect((await health()).code).toBe(0)

    const url = `iscsi://127.0.0.1:${port}/${TARGET}/0`
    expect(await succeed('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', url, path])).toMatch(/identical/)
    const written = await succeed('qemu-io', ['-f', 'raw', '-c', 'write -P 7 8M 1M', '-c', 'read -P 7 8M 1M', url])
    expect(written).toMatch(/wrote 1048576[^]*read 1048576/)
    expect(await succeed('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', url, path])).toMatch(/identical/)
    expect(await sha256(path)).toBe(before)
    expect(existsSync(join(volumes.state, 'state.json'))).toBe(true)

    const status = await succeed('buildah', inContainer('cloudx', 'status', '--json'))
    const { pid } = JSON.parse(status) as { pid: number }
    expect(statSync(`/proc/${pid}`).uid).toBe(USER)
    // Chroot isolation has no process numbers of its own, so this is what an engine does to stop it.
    process.kill(pid, 'SIGTERM')
    await once(server!, 'close')
    expect(log.at(-1)).toMatch(/Stopped\.$/)
    expect(server!.exitCode).toBe(0)
  })

  it('says what to set when it has a network of its own, and nothing when it was set', async () => {
    const network = join(work.path, 'network.sh')
    // What an engine gives a container: one end of a virtual cable, and /sys of that network.
    writeFileSync(
      network,
      [
        'set -e',
        'ip link set lo up',
        'ip link add eth0 type veth peer name peer0',
        'ip address add 172.17.0.2/16 dev eth0',
        'ip link set eth0 up',
        'ip link set peer0 up',
        'ip route add default via 172.17.0.1',
        'mount -t sysfs sysfs /sys',
        'exec "$@"'
      ].join('\n')
    )
    const alone = ['unshare', '--net', '--mount', 'sh', network]
    const advice = /its address 172\.17\.0\.2.*--advertise.*--network host/
    const log = await start(['/images/share.img', '--size', '64M'], advice, alone)
    const { pid } = JSON.parse(await succeed('buildah', inContainer('cloudx', 'status', '--json'))) as { pid: number }
    process.kill(pid, 'SIGTERM')
    await once(server!, 'close')
    expect(log.filter((line) => advice.test(line))).toHaveLength(1)

    const advertised = ['/images/share.img', '--advertise', '192.168.0.10']
    const told = await start(advertised, /Listening on/, alone)
    const second = JSON.parse(await succeed('buildah', inContainer('cloudx', 'status', '--json'))) as { pid: number }
    process.kill(second.pid, 'SIGTERM')
    await once(server!, 'close')
    expect(told.filter((line) => /container/.test(line))).toEqual([])
  })
})

describe('docker/compose.yaml', () => {
  it('mounts what the image declares, and asks for the address of this PC', () => {
    const text = readFileSync('docker/compose.yaml', 'utf8')
    expect(text).toMatch(/:\/images$/m)
    expect(text).toMatch(/:\/state$/m)
    expect(text).toMatch(/'3260:3260'/)
    expect(text).toMatch(/--advertise.*\$\{ADVERTISE:\?/)
  })
})

/** Where npm of this PC loads packages from; the base image trusts what this PC trusts. */
async function npmSettings(): Promise<string> {
  const registry = (await succeed('npm', ['config', 'get', 'registry', '--loglevel=error'])).trim().split('\n').at(-1)!
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  return [`registry=${registry}`, ...(existsSync(bundle) ? [`cafile=${bundle}`] : [])].join('\n')
}
