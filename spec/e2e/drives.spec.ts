import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { describeWith, isInstalled, run, succeed } from '../support/programs.js'
import { Random, seedOf, steps } from '../support/random.js'
import { ServerProcess, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(600_000)

const MIB = 1024 * 1024
const EMPTY = createHash('sha256').digest('hex')
const PROGRAM = process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs'

/** Where a hole is read at once: The Sleuth Kit reads every byte of the 5 GiB. */
const QUICK = existsSync('/dev/shm') ? '/dev/shm' : undefined

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  server = undefined
})
afterEach(async () => {
  await server?.kill()
  work.remove()
})

const create = (...args: string[]) => run(process.execPath, [PROGRAM, 'image', 'create', ...args], { limitMs: 500_000 })

/** The partition of a drive as a file of its own, with its holes. */
async function partitionOf(image: string): Promise<string> {
  const volume = `${image}.volume`
  const lengthBytes = (Math.floor((statSync(image).size - 33 * 512) / MIB) - 1) * MIB
  const part = `driver=raw,offset=${MIB},size=${lengthBytes},file.driver=file,file.filename=${image}`
  await succeed('qemu-img', ['convert', '--image-opts', part, '-O', 'raw', volume])
  return volume
}

/**
 * What The Sleuth Kit finds: path → inode; directories have a slash at their end. To see a whole tree it reads the whole
 * volume, also where nothing is, so a large one is only asked for its root.
 */
async function listed(volume: string, depth: readonly string[] = []): Promise<Map<string, string>> {
  const lines = (await succeed('fls', [...depth, '-p', '-u', '-f', 'exfat', volume])).split('\n')
  const entries = lines.flatMap((line) => {
    const [, kind, inode, path] = /^([rd])\/[rd] (\d+):\t(.*)$/.exec(line) ?? []
    const own = path === undefined || /^\$|Volume Label Entry\)$/.test(path)
    return own ? [] : [[kind === 'd' ? `${path}/` : path, inode!] as const]
  })
  return new Map(entries)
}

async function accepted(image: string): Promise<string> {
  expect(await succeed('sgdisk', ['-v', image])).toContain('No problems found')
  expect((await run('sfdisk', ['-V', image])).output).toContain('No errors detected')
  expect(await succeed('parted', ['-s', image, 'unit', 'B', 'print'])).toMatch(/1\s+1048576B\s+\d+B\s+\d+B.*msftdata/)
  const volume = await partitionOf(image)
  expect(await succeed('fsck.exfat', ['-n', volume])).toContain('clean')
  return volume
}

describeWith(
  ['qemu-img', 'fsck.exfat', 'dump.exfat', 'sgdisk', 'sfdisk', 'parted', 'fls', 'icat'],
  'a new image',
  () => {
    it.each([
      ['8G, as when nothing is said', [], 8192],
      ['20G', ['--size', '20G'], 20480],
      ['the smallest', ['--size', '3M'], 3],
      ['odd', ['--size', String(5 * MIB + 512)], 5]
    ])('is a drive with texts that others read: %s', async (_title, args, sizeMib) => {
      const image = join(work.path, 'share.img')
      server = await ServerProcess.start(['--lun', image, ...args])
      expect(await server.logged(/created/)).toMatch(/share\.img did not exist: created with .*sparse, a drive/)
      expect(await server.stop()).toBe(0)
      const { size, blocks } = statSync(image)
      expect(Math.floor(size / MIB)).toBe(sizeMib)
      expect(blocks * 512).toBeLessThan(MIB)
      const volume = await accepted(image)
      expect(await succeed('dump.exfat', [volume])).toMatch(/Volume label: *\t* *CLOUD-X/)
      const files = await listed(volume)
      expect([...files.keys()]).toEqual(['README.txt', '읽어주세요.txt'])
      expect(await succeed('icat', ['-f', 'exfat', volume, files.get('README.txt')!])).toMatch(/YOURS ALONE\r\n/)
      expect(await succeed('icat', ['-f', 'exfat', volume, files.get('읽어주세요.txt')!])).toMatch(/^\ufeff.*\r\n/)
    })

    it('has the up-case table that mkfs.exfat writes', async () => {
      const image = join(work.path, 'share.img')
      await create(image, '--size', '16M')
      const theirs = join(work.path, 'theirs')
      writeFileSync(theirs, '')
      truncateSync(theirs, 14 * MIB)
      await succeed('mkfs.exfat', [theirs])
      const [own, other] = [upcaseTableOf(readFileSync(await partitionOf(image))), upcaseTableOf(readFileSync(theirs))]
      expect(own.length).toBe(5836)
      expect(own.equals(other)).toBe(true)
    })

    it('has blocks of 4096 bytes where the disk has them', async () => {
      const image = join(work.path, 'share.img')
      server = await ServerProcess.start(['--lun', image, '--size', '64M', '--block-size', '4096'])
      await server.stop()
      // sgdisk cannot be told the block size of a file; sfdisk can, and partx.
      expect((await run('sfdisk', ['--sector-size', '4096', '-V', image])).output).toMatch(
        /No errors detected|unrecognized/
      )
      const bytes = readFileSync(image)
      expect(bytes.subarray(4096, 4104).toString()).toBe('EFI PART')
      const volume = join(work.path, 'volume')
      writeFileSync(volume, bytes.subarray(MIB, 63 * MIB))
      expect(await succeed('fsck.exfat', ['-n', volume])).toContain('clean')
    })

    it('is all zeroes with --blank, and refused where it is too small for a drive', async () => {
      const image = join(work.path, 'share.img')
      const { code, log } = await ServerProcess.run(['--lun', image, '--size', '1M'])
      expect(code).toBe(1)
      expect(log.join('\n')).toMatch(/1 MiB is too small for a drive.*--size 3M or more, or --blank/)
      expect(readdirSync(work.path)).toEqual([])
      server = await ServerProcess.start(['--lun', image, '--size', '1M', '--blank'])
      expect(statSync(image)).toMatchObject({ size: MIB, blocks: 0 })
    })
  }
)

describe('a missing image', () => {
  const refused = async (image: string) => {
    const { code, log } = await ServerProcess.run(['--lun', image])
    expect(code).toBe(1)
    return log.join('\n')
  }

  it('is not made anew when it was moved away, nor when its name looks mistyped', async () => {
    const image = join(work.path, 'share.img')
    server = await ServerProcess.start(['--lun', image, '--size', '8M'])
    await server.stop()
    expect(await refused(join(work.path, 'shrae.img'))).toMatch(
      /did you mean share\.img.*cloudx image create .*shrae\.img/
    )
    rmSync(image)
    expect(await refused(image)).toMatch(/share\.img does not exist, but .*share\.img\.cloudx does.*Put it back/)
    expect(readdirSync(work.path)).toEqual(['share.img.cloudx'])
    expect((await create(image)).output).toMatch(/share\.img does not exist, but/)
    rmSync(`${image}.cloudx`, { recursive: true })
    expect((await create(image, '--size', '8M')).output).toMatch(/an empty drive CLOUD-X of 8 MiB/)
    server = await ServerProcess.start(['--lun', image])
  })
})

describeWith(
  ['qemu-img', 'fsck.exfat', 'sgdisk', 'sfdisk', 'parted', 'fls', 'tsk_recover'],
  'cloudx image create --from',
  () => {
    const seed = seedOf(4242)
    it(`takes over a whole tree, byte for byte as another program reads it (seed ${seed})`, async () => {
      const folder = join(work.path, 'folder')
      const count = Math.max(300, steps(3000))
      const expected = plantTree(new Random(seed), folder, count)
      const image = join(work.path, 'share.img')
      // A long campaign takes what the folder needs.
      const size = count > 3000 ? [] : ['--size', '96M']
      const { code, output } = await create(image, '--from', folder, ...size, '--label', '공유')
      expect(output).toContain('a drive 공유 of')
      expect(code).toBe(0)
      const volume = await accepted(image)
      const found = await listed(volume, ['-r'])
      expect([...found.keys()].sort()).toEqual([...expected.keys()].sort())
      const out = join(work.path, 'out')
      await succeed('tsk_recover', ['-a', '-f', 'exfat', volume, out], { limitMs: 500_000 })
      // It takes no empty files out; that they are there has been seen.
      const filled = [...expected].filter(([, sum]) => sum !== undefined && sum !== EMPTY)
      expect(filled.length).toBeGreaterThan(200)
      const wrong = filled.filter(([path, sum]) => sumOf(join(out, path)) !== sum)
      expect(wrong.map(([path]) => path)).toEqual([])
    })

    it('takes over files beyond 4 GiB, with their times, and holes cost nothing', async () => {
      work.remove()
      work = workDirectory(QUICK)
      const folder = join(work.path, 'folder')
      mkdirSync(folder)
      const big = join(folder, 'big.bin')
      writeFileSync(big, 'begin')
      truncateSync(big, 5 * 1024 * MIB)
      const handle = openSync(big, 'r+')
      writeSync(handle, 'behind 4 GiB', 4_500_000_000)
      closeSync(handle)
      utimesSync(big, new Date('2001-02-03T04:05:06Z'), new Date('1999-12-31T23:59:58Z'))
      symlinkSync('big.bin', join(folder, 'link'))
      const image = join(work.path, 'share.img')
      const { output } = await create(image, '--from', folder)
      expect(output).toMatch(/Left out: .*link is a symbolic link\./)
      expect(output).toMatch(/100 %, 5 GiB of 5 GiB/)
      expect(statSync(image).blocks * 512).toBeLessThan(2 * MIB)
      const volume = await accepted(image)
      const inode = (await listed(volume)).get('big.bin')!
      const said = await succeed('fls', ['-l', '-p', '-u', '-f', 'exfat', '-z', 'UTC', volume])
      expect(said).toMatch(/big\.bin\t.*\t5368709120\t/)
      const local = new Date('1999-12-31T23:59:58Z')
      local.setMinutes(local.getMinutes() - local.getTimezoneOffset())
      expect(said).toContain(local.toISOString().slice(0, 19).replace('T', ' '))
      const script = `icat -f exfat ${volume} ${inode} | cmp - ${big}`
      expect((await run('sh', ['-c', script], { limitMs: 300_000 })).output).toBe('')
    })

    it('makes nothing when it is interrupted', async () => {
      const folder = join(work.path, 'folder')
      mkdirSync(folder)
      for (let i = 0; i < 64; i++) writeFileSync(join(folder, `${i}`), Buffer.alloc(4 * MIB, i + 1))
      const image = join(work.path, 'share.img')
      const script = `exec ${process.execPath} ${PROGRAM} image create ${image} --from ${folder}`
      const running = run('sh', [
        '-c',
        `${script} & pid=$!; while ! [ -e ${image}.part ]; do :; done; kill -INT $pid; wait $pid`
      ])
      await until('it has begun', async () => readdirSync(work.path).length > 1 || (await running).code !== undefined)
      const { code, output } = await running
      // A quick machine may have been ready before the signal came.
      if (code === 0) return expect(statSync(image).size).toBeGreaterThan(256 * MIB)
      expect([code, output]).toEqual([130, expect.stringContaining('Interrupted')])
      expect(readdirSync(work.path)).toEqual(['folder'])
    })
  }
)

/** Root may read everything; without these two capabilities it is a user like others, and still owns the program. */
const AS_A_USER = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : []
const describeAsUser = AS_A_USER.every((word, i) => i > 0 || isInstalled(word)) ? describe : describe.skip

describeAsUser('a file that this user may not read', () => {
  it('is told, and no image is made', async () => {
    work.remove()
    work = workDirectory(QUICK)
    const folder = join(work.path, 'folder')
    mkdirSync(folder)
    writeFileSync(join(folder, 'secret'), 'x', { mode: 0 })
    const image = join(work.path, 'share.img')
    const [program, ...rest] = [...AS_A_USER, process.execPath, PROGRAM, 'image', 'create', image, '--from', folder]
    const { code, output } = await run(program, rest)
    expect([code, output]).toEqual([1, expect.stringContaining('secret cannot be read: this user may not')])
    expect(readdirSync(work.path)).toEqual(['folder'])
  })
})

/** Files and folders with all kinds of names; path on the drive → checksum, undefined for a folder. */
function plantTree(random: Random, root: string, count: number): Map<string, string | undefined> {
  const expected = new Map<string, string | undefined>()
  const folders = ['']
  mkdirSync(root)
  const letters = ['a', 'Z', '한', '글', '각', 'é', ' x', '.x', 'ß', 'я', '-', '_', '1']
  for (let i = 0; i < count; i++) {
    const parent = random.pick(folders)
    // Linux has 255 bytes for a name; 84 Hangul syllables are the longest there, 255 letters the longest of exFAT.
    const wanted = random.chance(0.02) ? 'x'.repeat(255 - `${i}`.length) : ''
    const word = Array.from({ length: 1 + random.int(16) }, () => random.pick(letters)).join('')
    const name = `${i}${wanted || word.normalize('NFC')}`
    const onDisk = random.chance(0.3) && !wanted ? name.normalize('NFD') : name
    const path = parent + name
    const place = join(root, parent, onDisk)
    // A folder is planted composed, so that its path is known.
    if (random.chance(0.15) && parent.split('/').length < 12) {
      if (wanted) continue
      mkdirSync(join(root, parent, name))
      folders.push(`${path}/`)
      expected.set(`${path}/`, undefined)
      continue
    }
    const content = random.bytes(
      Buffer.alloc(random.chance(0.1) ? 0 : random.int(random.chance(0.02) ? 3 * MIB : 9000))
    )
    writeFileSync(place, content)
    expected.set(path, createHash('sha256').update(content).digest('hex'))
  }
  return expected
}

function sumOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

/** By hand from the boot sector: the root directory, its entry 82h, and what that names. */
function upcaseTableOf(volume: Buffer): Buffer {
  const sector = 2 ** volume[108]!
  const cluster = sector * 2 ** volume[109]!
  const at = (number: number) => volume.readUInt32LE(88) * sector + (number - 2) * cluster
  for (let entry = at(volume.readUInt32LE(96)); ; entry += 32) {
    if (volume[entry] !== 0x82) continue
    const start = at(volume.readUInt32LE(entry + 20))
    return volume.subarray(start, start + Number(volume.readBigUInt64LE(entry + 24)))
  }
}
