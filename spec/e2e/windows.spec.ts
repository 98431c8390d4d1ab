import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { ClientRules } from '../support/client-rules.js'
import { WINDOWS } from '../support/login-presets.js'
import { Random } from '../support/random.js'
import { begin, r2tFields, read10, sendRaw, write10 } from '../support/raw-commands.js'
import { framePdu, loginHeader, pairsOf, ScriptedInitiator, textOf, type Pdu } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'
import { ZERO_TOKEN, type Range } from '../support/token-list.js'
import {
  DISCOVERY_TEXT_LENGTH,
  WINDOWS_LOGIN,
  WINDOWS_TARGET,
  WindowsPc,
  type DiskFacts,
  type TokenLimits
} from '../support/windows-pc.js'

jest.setTimeout(120_000)

const MIB = 1024 * 1024
const BLOCK = 512
const DISK_LENGTH = 16 * MIB
/** Beyond what READ CAPACITY(10) can tell. */
const LARGE_LENGTH = 3 * 1024 ** 4
const TRANSFER = 256 * 1024
const [DISK, READ_ONLY, LARGE] = [0, 1, 2]
const ABSENT = 7
const OTHER_PC = 'iqn.1991-05.com.microsoft:pc-08.example.org'
const SECRET = 'twelve-chars'
const MUTUAL_SECRET = 'another-secret'

let work: ReturnType<typeof workDirectory>
let images: string[]
let original: string
let content: Buffer
let server: ServerProcess
/** Further servers, which end with the specs at the latest. */
const others: ServerProcess[] = []
beforeAll(async () => {
  work = workDirectory()
  images = ['disk', 'read-only', 'large'].map((name) => join(work.path, `${name}.img`))
  content = new Random(20030424).bytes(Buffer.alloc(DISK_LENGTH))
  writeFileSync(images[DISK]!, content)
  writeFileSync(images[READ_ONLY]!, content)
  writeFileSync(images[LARGE]!, '')
  truncateSync(images[LARGE]!, LARGE_LENGTH)
  original = await sha256(images[DISK]!)
  server = await start([images[DISK]!, `${images[READ_ONLY]!},read-only=true`, images[LARGE]!])
})
afterAll(async () => {
  for (const other of others) await other.kill()
  const exit = await server.stop()
  const after = await sha256(images[DISK]!)
  work.remove()
  expect([exit, after]).toEqual([0, original])
})

const start = (luns: readonly string[], args: readonly string[] = [], environment: Record<string, string> = {}) =>
  ServerProcess.start([...luns.flatMap((lun) => ['--lun', lun]), '--target-name', WINDOWS_TARGET, ...args], {
    environment
  })
const login = (options = {}) => WindowsPc.login(server.port, { targetName: WINDOWS_TARGET, ...options })

/** A header as hex in groups, with what a target is free to choose blanked out. */
function header(pdu: Pdu, blank: readonly (readonly [offset: number, length: number])[]): string {
  const hex = pdu.bhs.toString('hex').split('')
  for (const [offset, length] of blank) hex.fill('.', 2 * offset, 2 * (offset + length))
  return hex.join('')
}
const STAT_SN = [24, 4] as const
const MAX_CMD_SN = [32, 4] as const
const TSIH = [14, 2] as const

describe('the login of Windows, byte for byte', () => {
  let initiator: ScriptedInitiator
  beforeEach(async () => (initiator = await ScriptedInitiator.connect(server.port)))
  afterEach(() => initiator.close())

  it('has the lengths that were seen', () => {
    expect([WINDOWS_LOGIN.security.length, WINDOWS_LOGIN.operational.length]).toEqual([48 + 144, 48 + 300])
    expect(textOf(WINDOWS.discovery)).toHaveLength(DISCOVERY_TEXT_LENGTH)
  })

  it('is answered with exactly what Windows wants to hear', async () => {
    await initiator.send(WINDOWS_LOGIN.security)
    const first = await initiator.receive()
    expect(header(first, [STAT_SN, MAX_CMD_SN])).toBe(
      '2381000000000027' +
        '400001370000' +
        '0000' +
        '0000000100000000' +
        '........' +
        '00000001' +
        '........' +
        '00'.repeat(12)
    )
    expect(first.data.toString()).toBe('AuthMethod=None\0TargetPortalGroupTag=1\0')
    const operational = Buffer.from(WINDOWS_LOGIN.operational)
    operational.writeUInt32BE(first.bhs.readUInt32BE(24) + 1, 28)
    await initiator.send(operational)
    const last = await initiator.receive()
    expect(header(last, [[5, 3], TSIH, STAT_SN, MAX_CMD_SN])).toBe(
      '2387000000......' +
        '400001370000' +
        '....' +
        '0000000100000000' +
        '........' +
        '00000001' +
        '........' +
        '00'.repeat(12)
    )
    expect(last.bhs.readUInt16BE(14)).not.toBe(0)
    expect(last.bhs.readUInt32BE(24)).toBe(first.bhs.readUInt32BE(24) + 1)
    expect(Object.fromEntries(pairsOf(last.data))).toEqual({
      HeaderDigest: 'None',
      DataDigest: 'None',
      ErrorRecoveryLevel: '0',
      InitialR2T: 'No',
      ImmediateData: 'Yes',
      MaxRecvDataSegmentLength: '262144',
      MaxBurstLength: '262144',
      FirstBurstLength: '65536',
      MaxConnections: '1',
      DataPDUInOrder: 'Yes',
      DataSequenceInOrder: 'Yes',
      DefaultTime2Wait: '2',
      DefaultTime2Retain: '0',
      MaxOutstandingR2T: '16'
    })
  })

  it('is what the scripted Windows sends', async () => {
    const sent: Buffer[] = []
    initiator.observer = { sent: (bhs, data) => sent.push(framePdu(bhs, data)), received: () => {} }
    await initiator.login({ preset: WINDOWS, targetName: WINDOWS_TARGET })
    const [security, operational] = sent
    expect(security!.equals(WINDOWS_LOGIN.security)).toBe(true)
    operational!.writeUInt32BE(0, 28)
    expect(operational!.equals(WINDOWS_LOGIN.operational)).toBe(true)
  })

  it('ends with answers to the keys of a discovery session', async () => {
    initiator.observer = new ClientRules()
    await initiator.login({ preset: WINDOWS })
    expect(Object.fromEntries(initiator.answers)).toEqual({
      AuthMethod: 'None',
      HeaderDigest: 'None',
      DataDigest: 'None',
      MaxRecvDataSegmentLength: '262144',
      DefaultTime2Wait: '2',
      DefaultTime2Retain: '0'
    })
  })
})

describe('the port driver of Windows', () => {
  let pc: WindowsPc
  beforeEach(async () => (pc = await login()))
  afterEach(async () => {
    if (pc.initiator.isClosed) return
    expect(pc.rules.open).toBe(0)
    await pc.leave()
  })

  it('finds records with a NUL each and a portal group in each address, while another session lives', async () => {
    const answer = await WindowsPc.discover(server.port)
    expect(header(answer, [[16, 4], STAT_SN, MAX_CMD_SN])).toBe(
      '24800000' +
        answer.data.length.toString(16).padStart(8, '0') +
        '00'.repeat(8) +
        '........' +
        'ffffffff' +
        '........' +
        '00000002' +
        '........' +
        '00'.repeat(12)
    )
    expect(answer.data.toString()).toBe(`TargetName=${WINDOWS_TARGET}\0TargetAddress=127.0.0.1:${server.port},1\0`)
    await pc.untilReady()
  })

  it('writes 256 KiB with one R2T for what did not go with the command, whose bytes are these', async () => {
    const data = new Random(1).bytes(Buffer.alloc(TRANSFER))
    const statSn = pc.initiator.expStatSn
    const { r2t, outcome } = await pc.writeTransfer(2048, data)
    const { initiator } = pc
    expect(header(r2t, [[16, 8], MAX_CMD_SN])).toBe(
      '3180000000000000' +
        '00'.repeat(8) +
        '.'.repeat(16) +
        word(statSn) +
        word(initiator.cmdSn) +
        '........' +
        word(0) +
        word(65536) +
        word(196608)
    )
    expect([outcome.response, outcome.status, outcome.residualCount]).toEqual([0, 0, 0])
    const back = await pc.read(read10(2048, TRANSFER / BLOCK), TRANSFER)
    expect(back.equals(data)).toBe(true)
  })

  it('starts eight writes before it sends data for the first, and answers their R2Ts by turns', async () => {
    const { initiator } = pc
    const data = Array.from({ length: 8 }, (_, index) => new Random(index + 10).bytes(Buffer.alloc(TRANSFER)))
    const tags: number[] = []
    for (const [index, bytes] of data.entries()) {
      const raw = { flags: 0xa1, edtl: TRANSFER, data: bytes.subarray(0, 65536) }
      tags.push(await begin(initiator, write10(4096 + index * 512, 512), raw))
    }
    const r2ts: Pdu[] = []
    for (const tag of tags) {
      r2ts.push(await initiator.receive((pdu) => pdu.opcode === 0x31 && pdu.bhs.readUInt32BE(16) === tag))
    }
    for (const index of [7, 0, 6, 1, 5, 2, 4, 3]) await pc.answerR2t(tags[index]!, r2ts[index]!, data[index]!)
    for (const tag of tags) expect((await initiator.finish(tag, Buffer.alloc(8))).status).toBe(0)
    for (const [index, bytes] of data.entries()) {
      expect((await pc.read(read10(4096 + index * 512, 512), TRANSFER)).equals(bytes)).toBe(true)
    }
  })

  it('sets any LUN in its Data-Out: the tags tell whose they are', async () => {
    const { initiator } = pc
    const data = Buffer.alloc(128 * 1024, 0x77)
    const raw = { flags: 0xa1, edtl: data.length, data: data.subarray(0, 65536) }
    const tag = await begin(initiator, write10(1024, 256), raw)
    const r2t = await initiator.receiveOpcode(0x31)
    const { transferTag, offset } = r2tFields(r2t)
    await initiator.dataOut(tag, transferTag, Buffer.from('c101000000000000', 'hex'), data, offset, data.length)
    expect((await initiator.finish(tag, Buffer.alloc(8))).status).toBe(0)
    expect((await pc.read(read10(1024, 256), data.length)).equals(data)).toBe(true)
  })

  it('reads 1 MiB in transfers of 256 KiB and segments of at most 64 KiB', async () => {
    for (let lba = 16384; lba < 18432; lba += 512) {
      const { data, pdus, status } = await pc.command(read10(lba, 512), { read: TRANSFER })
      expect([status, data.equals(content.subarray(lba * BLOCK, (lba + 512) * BLOCK))]).toEqual([0, true])
      const lengths = pdus.filter((pdu) => pdu.opcode === 0x25).map((pdu) => pdu.data.length)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(65536)
    }
  })

  it('fills the window again and again: no command is busy, and the window moves on', async () => {
    const { initiator } = pc
    expect(initiator.window).toBeGreaterThanOrEqual(8)
    const outcomes = await Promise.all(
      Array.from({ length: 400 }, (_, index) => pc.command(read10(index * 8, 8), { read: 4096 }))
    )
    expect(outcomes.filter(({ status }) => status !== 0)).toEqual([])
    expect(initiator.maxCmdSn - initiator.expCmdSn).toBeGreaterThanOrEqual(7)
  })

  it('sees an underflow with its count wherever an answer is shorter than what it asked for', async () => {
    const inquiry = await pc.command([0x12, 0, 0, 0, 255, 0], { read: 255 })
    expect([inquiry.status, inquiry.data.length, inquiry.underflow, inquiry.residualCount]).toEqual([0, 96, true, 159])
    const modes = await pc.command([0x1a, 0, 0x3f, 0, 192, 0], { read: 192 })
    expect([modes.status, modes.underflow, modes.residualCount]).toEqual([0, true, 192 - modes.data.length])
    expect(modes.data[0]).toBe(modes.data.length - 1)
  })

  it('has each of its task management functions answered, and the disk goes on', async () => {
    const { initiator } = pc
    const write = await begin(initiator, write10(0, 512), { flags: 0xa1, edtl: TRANSFER, data: Buffer.alloc(65536) })
    await initiator.receiveOpcode(0x31)
    // ABORT TASK; nothing answers a command that was aborted.
    expect(await initiator.taskManagement(1, { referencedTag: write, refCmdSn: initiator.cmdSn - 1 })).toBe(0)
    // LOGICAL UNIT RESET, TARGET WARM RESET.
    for (const fn of [5, 6]) expect(await initiator.taskManagement(fn)).toBe(0)
    await pc.untilReady()
    // What came with the command may have been written, what was never sent can not.
    expect((await pc.read(read10(128, 8), 4096)).equals(content.subarray(128 * BLOCK, 136 * BLOCK))).toBe(true)
    // The port driver forgets the command that it has aborted.
    pc.rules.forget(write)
  })

  it('gets its ping back with the same data', async () => {
    expect((await pc.initiator.nop(Buffer.from('abcdefg'))).data.toString()).toBe('abcdefg')
  })

  it('may add no second connection, and ask for nothing again', async () => {
    const second = await WindowsPc.connect(server.port)
    const { tsih } = pc.initiator
    const { status } = await second.initiator.tryLogin({ preset: WINDOWS, targetName: WINDOWS_TARGET, tsih, cid: 2 })
    expect(status).toBe(0x0206)
    const { initiator } = pc
    initiator.observer = undefined
    await sendRaw(initiator, { opcode: 0x10, byte1: 0x80 }, [[20, 0xffffffff]])
    const reject = await initiator.receiveOpcode(0x3f)
    expect([0x03, 0x04]).toContain(reject.bhs[2])
    expect(await pc.initiator.logout()).toBe(0)
    await initiator.close()
  })

  it('is told of what it cannot have by sense data, never by silence', async () => {
    const rows: readonly (readonly [string, readonly number[], number, string])[] = [
      ['ATA PASS-THROUGH(16)', [0x85, ...Array<number>(15).fill(0)], 512, '05/20/00'],
      ['ATA PASS-THROUGH(12)', [0xa1, ...Array<number>(11).fill(0)], 512, '05/20/00'],
      ['a vendor command', [0xc7, 0, 0, 0, 0, 0], 512, '05/20/00'],
      ['REPORT ALL ROD TOKENS', [0x84, 0x08, ...Array<number>(14).fill(0)], 0, '05/24/00'],
      ['a VPD page that is not listed', [0x12, 1, 0x88, 0, 255, 0], 255, '05/24/00'],
      ['a mode page that there is not', [0x1a, 0, 0x2a, 0, 192, 0], 192, '05/24/00'],
      ['a log page that there is not', [0x4d, 0, 0x6f, 0, 0, 0, 0, 0, 252, 0], 252, '05/24/00'],
      ['a block behind the end', read10(DISK_LENGTH / BLOCK, 1), 512, '05/21/00']
    ]
    const seen: string[] = []
    for (const [what, cdb, read, sense] of rows) {
      const outcome = await pc.command(cdb, { read })
      seen.push(`${what}: ${outcome.status} ${outcome.senseText.slice(0, sense.length)}`)
    }
    expect(seen).toEqual(rows.map(([what, , , sense]) => `${what}: 2 ${sense}`))
  })

  it('has clusters and tools answered: reservations, logs, mapped blocks, UNMAP, VERIFY, MODE SELECT', async () => {
    // PERSISTENT RESERVE IN: READ KEYS and READ RESERVATION of a disk that nobody holds.
    for (const action of [0, 1]) {
      const keys = await pc.read([0x5e, action, 0, 0, 0, 0, 0, 1, 0, 0], 256)
      expect(keys.readUInt32BE(4)).toBe(0)
    }
    // REPORT CAPABILITIES: its own length, and a mask that is valid.
    const capabilities = await pc.read([0x5e, 2, 0, 0, 0, 0, 0, 1, 0, 0], 256)
    expect([capabilities.readUInt16BE(0), capabilities[3]! & 0x80]).toEqual([8, 0x80])
    // GET LBA STATUS: a descriptor of some blocks from the one that was asked for.
    const status = await pc.read([0x9e, 0x12, ...Array<number>(8).fill(0), 0, 0, 0, 64, 0, 0], 64)
    expect([status.readBigUInt64BE(8), status.readUInt32BE(16) > 0]).toEqual([0n, true])
    // LOG SENSE 0Ch is what the thin provisioning test asks for.
    const log = await pc.command([0x4d, 0, 0x40, 0, 0, 0, 0, 0, 252, 0], { read: 252 })
    expect([log.status, log.data[0]! & 0x3f]).toEqual([0, 0])

    const filled = Buffer.alloc(64 * 1024, 0x5a)
    await pc.command(write10(8192, 128), { write: filled })
    const list = Buffer.from('0016001000000000' + '0000000000002000' + '00000080' + '00000000', 'hex')
    expect((await pc.command([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], { write: list })).status).toBe(0)
    expect((await pc.read(read10(8192, 128), filled.length)).equals(Buffer.alloc(filled.length))).toBe(true)
    expect((await pc.command([0x2f, 0, 0, 0, 0, 0, 0, 0, 128, 0])).status).toBe(0)
    // MODE SELECT(6) with the caching page as it was read, and as it can be changed.
    const caching = await pc.read([0x1a, 8, 0x08, 0, 192, 0], 192)
    const parameters = Buffer.concat([Buffer.alloc(4), caching.subarray(4)])
    parameters[4] = 0x08
    const select = await pc.command([0x15, 0x10, 0, 0, parameters.length, 0], { write: parameters })
    expect([select.status, select.senseText]).toEqual([0, ''])
  })
})

const word = (value: number) => (value >>> 0).toString(16).padStart(8, '0')

describe('a disk as the class driver of Windows finds it', () => {
  let pc: WindowsPc
  let disk: DiskFacts
  beforeAll(async () => {
    pc = await login()
    disk = await pc.findDisk()
  })
  afterAll(() => pc.leave())

  it('is listed, and the LUN beside it that is absent says so', async () => {
    expect(await pc.reportLuns()).toEqual(['0000000000000000', '0001000000000000', '0002000000000000'])
    expect((await pc.inquiry(36, ABSENT))[0]).toBe(0x7f)
    const other = await pc.command([0, 0, 0, 0, 0, 0], { lun: ABSENT })
    expect([other.status, other.senseText]).toEqual([2, '05/25/00'])
  })

  it('is a fixed disk with command queuing', () => {
    // Additional length 5Bh is all of it; the flags of byte 5 are the target's.
    expect(disk.standard.toString('hex', 0, 5)).toBe('000006125b')
    expect(disk.standard.toString('hex', 6, 8)).toBe('0002')
    expect(disk.standard[1]! & 0x80).toBe(0)
    // TPGS=0: Windows asks for no target port groups.
    expect(disk.standard[5]! & 0x30).toBe(0)
    expect(disk.standard.toString('latin1', 8, 36)).toMatch(/^CLOUD-X [A-Z -]{16}[\x20-\x7e]{4}$/)
    expect(disk.standard).toHaveLength(96)
  })

  it('lists its pages in strictly ascending order from 00h', () => {
    const list = [...disk.pages.get(0x00)!.subarray(4)]
    expect(list[0]).toBe(0)
    expect(list).toEqual([...new Set(list)].sort((a, b) => a - b))
    for (const code of [0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2]) expect(list).toContain(code)
  })

  it('has a printable serial number, another one on each LUN and for each PC, and the same in each session', async () => {
    const serial = (page: Buffer) => page.toString('latin1', 4, 4 + page.readUInt16BE(2))
    const serials = [serial(disk.pages.get(0x80)!)]
    for (const lun of [READ_ONLY, LARGE]) serials.push(serial(await pc.page(0x80, 255, lun)))
    const other = await login({ initiatorName: OTHER_PC })
    serials.push(serial(await other.page(0x80)))
    await other.leave()
    for (const text of serials) expect(text).toMatch(/^[\x21-\x7e]{8,32}$/)
    expect(new Set(serials).size).toBe(4)
    const again = await login({ isid: '400001370004' })
    expect(serial(await again.page(0x80))).toBe(serials[0])
    await again.leave()
  })

  it('is identified by an NAA, a T10 and a SCSI name, and its port by name, number and group', () => {
    const designators = designatorsOf(disk.pages.get(0x83)!)
    expect(designators.map(({ association, type }) => `${association}/${type}`)).toEqual(
      expect.arrayContaining(['0/3', '0/1', '0/8', '1/8', '1/4', '1/5'])
    )
    const naa = designators.find(({ association, type }) => association === 0 && type === 3)!
    expect([naa.value.length, naa.value[0]! >> 4]).toEqual([16, 6])
    const port = designators.find(({ association, type }) => association === 1 && type === 8)!
    expect(port.value.toString().replace(/\0+$/, '')).toBe(`${WINDOWS_TARGET},t,0x0001`)
  })

  it('is thin in all pages alike', () => {
    const [limits, characteristics, provisioning] = [0xb0, 0xb1, 0xb2].map((code) => disk.pages.get(code)!)
    expect(limits!.readUInt16BE(2)).toBe(0x3c)
    expect(limits!.readUInt32BE(20)).toBeGreaterThan(0)
    expect(limits!.readUInt32BE(24)).toBeGreaterThan(0)
    expect([characteristics!.readUInt16BE(2), characteristics!.readUInt16BE(4)]).toEqual([0x3c, 1])
    expect(provisioning!.readUInt16BE(2)).toBeGreaterThanOrEqual(4)
    // LBPU and LBPRZ; type 2 is thin.
    expect([provisioning![5]! & 0x84, provisioning![6]! & 0x07]).toEqual([0x84, 2])
    // LBPME and LBPRZ; 8 logical blocks are a physical one, of which the first is aligned.
    expect(disk.capacity16).toHaveLength(32)
    expect([disk.capacity16[13]! & 0x0f, disk.capacity16.readUInt16BE(14)]).toEqual([3, 0xc000])
    expect([disk.blocks, disk.blockSize]).toEqual([BigInt(DISK_LENGTH / BLOCK), BLOCK])
    expect(disk.capacity16.readBigUInt64BE(0)).toBe(disk.blocks - 1n)
  })

  it('has the mode pages that Windows wants, with a write cache and FUA', () => {
    const all = disk.modePages.get(0x3f)!
    // WP is off, DPOFUA on.
    expect(all[2]).toBe(0x10)
    const codes = modePagesOf(all).map(({ code }) => code)
    expect(codes).toEqual(expect.arrayContaining([0x08, 0x0a, 0x1c]))
    const rows = [
      [0x08, 20],
      [0x1c, 12],
      [0x0a, 12]
    ] as const
    for (const [code, length] of rows) {
      const [page] = modePagesOf(disk.modePages.get(code)!)
      expect([page!.code, page!.bytes.length]).toEqual([code, length])
    }
    const [current] = modePagesOf(disk.modePages.get(0x08)!)
    const [changeable] = modePagesOf(disk.modePages.get(0x48)!)
    expect([current!.bytes[2]! & 0x04, changeable!.bytes.length]).toEqual([0x04, 20])
  })

  it('is mounted, and takes a write with FUA', async () => {
    await pc.mount(disk)
    const cdb = write10(64, 8)
    cdb[1] = 0x08
    const data = Buffer.alloc(4096, 0xf0)
    expect((await pc.command(cdb, { write: data })).status).toBe(0)
    expect((await pc.read(read10(64, 8), data.length)).equals(data)).toBe(true)
  })

  it('that is read-only says so, refuses the dirty bit, and is read', async () => {
    const facts = await pc.findDisk(READ_ONLY)
    expect(facts.modePages.get(0x3f)![2]! & 0x80).toBe(0x80)
    const write = await pc.command(write10(0, 16), { write: Buffer.alloc(16 * BLOCK), lun: READ_ONLY })
    expect([write.status, write.senseText]).toEqual([2, '07/27/00'])
    const first = await pc.readBlocks(0n, 16, facts, READ_ONLY)
    expect(first.equals(content.subarray(0, 16 * BLOCK))).toBe(true)
  })

  it('that is larger than 2 TiB says FFFFFFFFh, and is used with 16-byte commands', async () => {
    const facts = await pc.findDisk(LARGE)
    expect([facts.capacity10.readUInt32BE(0), facts.blocks]).toEqual([0xffffffff, BigInt(LARGE_LENGTH / BLOCK)])
    const cdb = [0x8a, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xf8, 0, 0, 0, 8, 0, 0]
    const data = Buffer.alloc(4096, 0x3c)
    expect((await pc.command(cdb, { write: data, lun: LARGE })).status).toBe(0)
    const back = await pc.readBlocks(0x1_7fff_fff8n, 8, facts, LARGE)
    expect(back.equals(data)).toBe(true)
    const beyond = await pc.command([0x88, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0], { read: 512, lun: LARGE })
    expect(beyond.senseText).toBe('05/21/00')
    expect(
      (await pc.command([0x8f, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xf8, 0, 0, 0, 8, 0, 0], { lun: LARGE })).status
    ).toBe(0)
  })
})

describe('a Windows PC', () => {
  const written = Buffer.alloc(4096, 0xa5)
  const first = (pc: WindowsPc) => pc.read(read10(0, 8), 4096)

  it('finds after a lost connection the blocks that it left, logs in with the same ISID, and the original after a logout', async () => {
    const pc = await login()
    await pc.command(write10(0, 8), { write: written })
    expect(await pc.stopDisk()).toEqual([0, 0])
    await pc.initiator.reset()
    const back = await login()
    expect((await first(back)).equals(written)).toBe(true)
    await back.leave()
    const next = await login()
    expect((await first(next)).equals(content.subarray(0, 4096))).toBe(true)
    await next.leave()
  })

  it('takes the place of its own session that the server still takes for alive', async () => {
    const old = await login()
    await old.command(write10(0, 8), { write: written })
    const pending = await begin(old.initiator, write10(512, 512), {
      flags: 0xa1,
      edtl: TRANSFER,
      data: Buffer.alloc(65536)
    })
    expect(pending).toBeGreaterThan(0)
    await old.initiator.receiveOpcode(0x31)
    const pc = await login()
    await old.initiator.closed()
    expect(pc.initiator.tsih).not.toBe(0)
    expect((await first(pc)).equals(written)).toBe(true)
    const unsent = content.subarray(640 * BLOCK, 648 * BLOCK)
    expect((await pc.read(read10(640, 8), 4096)).equals(unsent)).toBe(true)
    await pc.leave()
  })

  it.each([
    ['header', 'CRC32C', 'None'],
    ['data', 'None', 'CRC32C'],
    ['header and data', 'CRC32C', 'CRC32C']
  ])('that ticks the %s digest alone gets it, and its data are right', async (_what, HeaderDigest, DataDigest) => {
    const pc = await login({ override: { HeaderDigest, DataDigest } })
    const { headerDigest, dataDigest } = pc.initiator
    expect([headerDigest, dataDigest]).toEqual([HeaderDigest === 'CRC32C', DataDigest === 'CRC32C'])
    const data = new Random(7).bytes(Buffer.alloc(TRANSFER))
    expect((await pc.writeTransfer(0, data)).outcome.status).toBe(0)
    expect((await pc.read(read10(0, 512), TRANSFER)).equals(data)).toBe(true)
    await pc.leave()
  })

  it('whose place for writes is full is told so by 07/27/07, and reads on', async () => {
    const small = join(work.path, 'small.img')
    writeFileSync(small, content)
    const full = await start([small], ['--delta-limit', String(MIB)])
    others.push(full)
    const pc = await WindowsPc.login(full.port, { targetName: WINDOWS_TARGET })
    const senses = new Set<string>()
    for (let lba = 0; lba < 8192; lba += 512) {
      const { status, senseText } = await pc.command(write10(lba, 512), { write: Buffer.alloc(TRANSFER, 0xd0) })
      if (status !== 0) senses.add(senseText)
    }
    expect([...senses]).toEqual(['07/27/07'])
    expect((await pc.read(read10(0, 512), TRANSFER)).equals(Buffer.alloc(TRANSFER, 0xd0))).toBe(true)
    expect((await pc.read(read10(9000, 8), 4096)).equals(content.subarray(9000 * BLOCK, 9008 * BLOCK))).toBe(true)
    await pc.leave()
    expect(await full.stop()).toBe(0)
  })
})

describe('CHAP with Windows', () => {
  let secured: ServerProcess
  beforeAll(async () => {
    const image = join(work.path, 'secured.img')
    writeFileSync(image, Buffer.alloc(MIB))
    secured = await start([image], ['--chap-user', WINDOWS.initiatorName, '--chap-mutual-user', 'disk'], {
      CLOUDX_CHAP_SECRET: SECRET,
      CLOUDX_CHAP_MUTUAL_SECRET: MUTUAL_SECRET
    })
  })
  afterAll(async () => {
    expect(await secured.stop()).toBe(0)
  })

  const name = WINDOWS.initiatorName
  it.each(['hex', 'base64'] as const)('lets it in with its secret in %s, and proves itself', async (encoding) => {
    const rules = { secret: MUTUAL_SECRET, name: 'disk' }
    for (const mutual of [undefined, rules]) {
      const chap = { name, secret: SECRET, encoding, ...(mutual && { mutual }) }
      const pc = await WindowsPc.login(secured.port, { targetName: WINDOWS_TARGET, chap })
      await pc.untilReady()
      expect(pc.initiator.answer('AuthMethod')).toBe('CHAP')
      // 16 bytes: a longer challenge, or one in strange characters, is an event 33 or 15.
      expect(pc.initiator.answer('CHAP_C')).toMatch(/^0x[\da-f]{32}$/i)
      await pc.leave()
    }
  })

  it.each(['hex', 'base64'] as const)('keeps it out with a wrong secret in %s', async (encoding) => {
    const pc = await WindowsPc.connect(secured.port)
    const chap = { name, secret: 'twelve-charz', encoding }
    expect((await pc.initiator.tryLogin({ preset: WINDOWS, targetName: WINDOWS_TARGET, chap })).status).toBe(0x0201)
    await pc.initiator.closed()
  })

  it('keeps it out when it says None, and when it goes on without an answer', async () => {
    const pc = await WindowsPc.connect(secured.port)
    expect((await pc.initiator.tryLogin({ preset: WINDOWS, targetName: WINDOWS_TARGET })).status).toBe(0x0201)
    const hasty = await ScriptedInitiator.connect(secured.port)
    const isid = Buffer.from(WINDOWS.isid, 'hex')
    const names = { initiatorName: name, targetName: WINDOWS_TARGET, authMethod: 'CHAP' }
    await hasty.sendPdu(loginHeader({ flags: 0x81, isid, cmdSn: 1 }), textOf(WINDOWS.first(names)))
    const answer = await hasty.receiveOpcode(0x23)
    // T stays off until the response was verified.
    expect([answer.bhs[1]! & 0x80, answer.bhs.readUInt16BE(36)]).toEqual([0, 0])
    await hasty.sendPdu(loginHeader({ flags: 0x87, isid, cmdSn: 1 }), textOf(WINDOWS.normal))
    expect((await hasty.receiveOpcode(0x23)).bhs[36]).toBe(2)
    await hasty.closed()
  })
})

interface Designator {
  readonly association: number
  readonly type: number
  readonly value: Buffer
}

/** SPC-4 §7.8.6.1. */
function designatorsOf(page: Buffer): Designator[] {
  const found: Designator[] = []
  for (let at = 4; at < 4 + page.readUInt16BE(2); at += 4 + page[at + 3]!) {
    const value = page.subarray(at + 4, at + 4 + page[at + 3]!)
    found.push({ association: (page[at + 1]! >> 4) & 3, type: page[at + 1]! & 0x0f, value })
  }
  return found
}

/** The pages behind the header and block descriptors of MODE SENSE(6), SPC-4 §7.5.5. */
function modePagesOf(data: Buffer): { code: number; bytes: Buffer }[] {
  const found = []
  for (let at = 4 + data[3]!; at < data[0]! + 1;) {
    const long = (data[at]! & 0x40) !== 0
    const length = long ? 4 + data.readUInt16BE(at + 2) : 2 + data[at + 1]!
    found.push({ code: data[at]! & 0x3f, bytes: data.subarray(at, at + length) })
    at += length
  }
  return found
}

/** The documents of Microsoft on offloaded data transfers, and the samples of its class driver. */
describe('a file that Windows copies without moving it (ODX)', () => {
  let pc: WindowsPc
  let limits: TokenLimits
  beforeEach(async () => {
    pc = await login()
    limits = (await pc.tokenLimits())!
  })
  afterEach(() => pc.leave())

  const read = (extents: readonly Range[], lun = DISK) =>
    Promise.all(extents.map(([lba, blocks]) => pc.read(read10(Number(lba), blocks), blocks * BLOCK, lun))).then(
      (parts) => Buffer.concat(parts)
    )
  /** A file in three pieces, one of them in the middle of everything. */
  const file: readonly Range[] = [
    [2048, 1024],
    [9001, 77],
    [4096, 512]
  ]
  const blocks = 1024 + 77 + 512

  it('is told by page 8Fh that it can, and how much at a time', () => {
    expect(limits).toEqual({ ranges: 64, maxBlocks: BigInt(2 ** 30 / BLOCK), optimalBlocks: BigInt(2 ** 26 / BLOCK) })
  })

  it('is the same behind it, in other pieces of the same disk', async () => {
    const copy: readonly Range[] = [
      [16384, 800],
      [12000, blocks - 800]
    ]
    const wanted = await read(file)
    const token = await pc.offloadRead(file)
    expect(token).toHaveLength(512)
    expect(await pc.offloadWrite(token as Buffer, copy, limits)).toEqual({ blocks, stopped: '' })
    expect((await read(copy)).equals(wanted)).toBe(true)
    expect((await read(file)).equals(wanted)).toBe(true)
  })

  it('goes to another disk as well, in as many commands as the optimal length asks for', async () => {
    const token = await pc.offloadRead(file)
    const small = { ...limits, optimalBlocks: 300n }
    // The other disk is large, so that it is read with 16-byte commands.
    expect(await pc.offloadWrite(token as Buffer, [[4096, blocks]], small, LARGE)).toEqual({ blocks, stopped: '' })
    const cdb = [0x88, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, blocks >> 8, blocks & 0xff, 0, 0]
    expect((await pc.read(cdb, blocks * BLOCK, LARGE)).equals(await read(file))).toBe(true)
  })

  it('is filled with zeroes by the well-known token', async () => {
    expect(await pc.offloadWrite(ZERO_TOKEN, file, limits)).toEqual({ blocks, stopped: '' })
    expect((await read(file)).equals(Buffer.alloc(blocks * BLOCK))).toBe(true)
  })

  it('is copied in the old way where it was written meanwhile, and on a disk that cannot be written', async () => {
    const token = (await pc.offloadRead(file)) as Buffer
    expect(await pc.offloadWrite(token, [[4096, blocks]], limits, READ_ONLY)).toEqual({
      blocks: 0,
      stopped: '07/27/00'
    })
    expect((await pc.command(write10(9001, 1), { write: Buffer.alloc(BLOCK, 7) })).status).toBe(0)
    expect(await pc.offloadWrite(token, [[12000, blocks]], limits)).toEqual({ blocks: 0, stopped: '05/23/08' })
    const data = await read(file)
    const { outcome } = await pc.writeTransfer(12288, data.subarray(0, TRANSFER))
    expect([outcome.status, data[1024 * BLOCK]]).toEqual([0, 7])
  })

  it('cannot be had by another PC with the token, nor after a logout', async () => {
    const token = (await pc.offloadRead(file)) as Buffer
    const other = await login({ initiatorName: OTHER_PC })
    expect(await other.offloadWrite(token, [[12000, blocks]], limits)).toEqual({ blocks: 0, stopped: '05/23/04' })
    await other.leave()
    await pc.leave()
    pc = await login()
    expect(await pc.offloadWrite(token, [[12000, blocks]], limits)).toEqual({ blocks: 0, stopped: '05/23/04' })
  })
})
