import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const IPXE_ROM = '/usr/lib/ipxe/qemu/pxe-e1000.rom'

const SECTOR_LENGTH = 512
const BOOT_LIMIT_MS = 120_000
const REPORT = /WAS ([^\0]*)\r\nIS ([^\0]*)\r\nEND\r\n/

/**
 * A boot sector: it prints sector 1 of its disk as a text, writes {@link WRITTEN} over it, prints what it reads then,
 * and halts. Disk accesses go through INT 13h, which is iPXE; the text goes to COM2, as the BIOS shows its screen at COM1.
 */
const PROGRAM: readonly (readonly [bytes: string, instruction: string])[] = [
  ['31c0', 'xor ax, ax'],
  ['8ed8', 'mov ds, ax'],
  ['8ec0', 'mov es, ax'],
  ['fc', 'cld'],
  ['bb007e', 'mov bx, 7E00h'],
  ['b442', 'mov ah, 42h; extended read'],
  ['e83100', 'call disk'],
  ['be807c', 'mov si, was'],
  ['e84100', 'call print'],
  ['be007e', 'mov si, 7E00h'],
  ['e83b00', 'call print'],
  ['bba47c', 'mov bx, text'],
  ['b443', 'mov ah, 43h; extended write'],
  ['e81d00', 'call disk'],
  ['bb0080', 'mov bx, 8000h'],
  ['b442', 'mov ah, 42h'],
  ['e81500', 'call disk'],
  ['be877c', 'mov si, is'],
  ['e82500', 'call print'],
  ['be0080', 'mov si, 8000h'],
  ['e81f00', 'call print'],
  ['be9c7c', 'mov si, end'],
  ['e81900', 'call print'],
  ['f4', 'stop: hlt'],
  ['ebfd', 'jmp stop'],
  ['891e747c', 'disk: mov [packet + 4], bx'],
  ['b000', 'mov al, 0'],
  ['be707c', 'mov si, packet'],
  ['cd13', 'int 13h; the drive is in dl still'],
  ['7308', 'jnc done'],
  ['be8d7c', 'mov si, bad'],
  ['e80300', 'call print'],
  ['ebe8', 'jmp stop'],
  ['c3', 'done: ret'],
  ['52', 'print: push dx'],
  ['ac', 'next: lodsb'],
  ['84c0', 'test al, al'],
  ['7412', 'jz printed'],
  ['88c4', 'mov ah, al'],
  ['bafd02', 'mov dx, 2FDh'],
  ['ec', 'busy: in al, dx'],
  ['a820', 'test al, 20h'],
  ['74fb', 'jz busy'],
  ['88e0', 'mov al, ah'],
  ['baf802', 'mov dx, 2F8h'],
  ['ee', 'out dx, al'],
  ['ebe9', 'jmp next'],
  ['5a', 'printed: pop dx'],
  ['c3', 'ret'],
  ['1000', 'packet: its length'],
  ['0100', 'one sector'],
  ['00000000', 'to or from this address'],
  ['0100000000000000', 'LBA 1']
]

/** What the boot sector writes; 26 characters and a NUL. */
export const WRITTEN = 'written by the boot sector'

/** A disk that boots: the program in sector 0, `text` in sector 1, zeroes behind. */
export function bootableDisk(text: string, length: number): Buffer {
  const disk = Buffer.alloc(length)
  const program = PROGRAM.map(([bytes]) => bytes).join('')
  const texts = ['\r\nWAS ', '\r\nIS ', '\r\nDISK ERROR\r\n', '\r\nEND\r\n', WRITTEN].map((line) => `${line}\0`)
  disk.write(program, 0, 'hex')
  disk.write(texts.join(''), program.length / 2, 'latin1')
  disk.writeUInt16BE(0x55aa, SECTOR_LENGTH - 2)
  disk.write(`${text}\0`, SECTOR_LENGTH, 'latin1')
  return disk
}

/** A PC without a disk that boots from the network: QEMU with iPXE in the ROM of its network adapter. */
export class NetworkBoot {
  private report = ''
  private readonly screen: string
  private readonly child: ChildProcess
  private readonly ended: Promise<unknown>

  /** @param directory - where its boot script is put */
  constructor(directory: string, { initiatorName, lines }: NetworkBootOptions) {
    const name = `${initiatorName.replace(/\W/g, '-')}`
    const script = `${name}.ipxe`
    const all = ['#!ipxe', `set initiator-iqn ${initiatorName}`, ...lines, '']
    writeFileSync(join(directory, script), all.join('\n'))
    this.screen = join(directory, `${name}.screen`)
    this.child = spawn(
      'qemu-system-x86_64',
      [
        // Without graphics the BIOS shows its screen at the first serial port, so what iPXE complains about is seen.
        ...['-machine', 'pc,graphics=off', '-accel', 'tcg', '-m', '64', '-nodefaults', '-no-user-config'],
        ...['-display', 'none', '-vga', 'none', '-monitor', 'none', '-no-reboot'],
        ...['-serial', `file:${this.screen}`, '-serial', 'stdio'],
        ...['-netdev', `user,id=lan,tftp=${directory},bootfile=${script}`],
        ...['-device', `e1000,netdev=lan,romfile=${IPXE_ROM}`, '-boot', 'n']
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] }
    )
    this.ended = once(this.child, 'close')
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (chunk: Buffer) => (this.report += chunk.toString('latin1')))
    }
  }

  /** Resolves when the boot sector has run, with what it read of sector 1 before and after it wrote there. */
  async booted(): Promise<{ was: string; is: string }> {
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (/END\r\n|ERROR/.test(this.report)) resolve()
      }
      this.child.stdout!.on('data', look)
      look()
    })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, BOOT_LIMIT_MS)))
    await Promise.race([seen, this.ended, late])
    clearTimeout(timer)
    const [, was, is] = REPORT.exec(this.report) ?? []
    if (was !== undefined && is !== undefined) return { was, is }
    throw new Error(`the PC did not boot:\n${this.report}\n--- its screen\n${readFileSync(this.screen, 'latin1')}`)
  }

  /** Takes its power away. */
  async switchOff(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

export interface NetworkBootOptions {
  readonly initiatorName: string
  /** Of its boot script. The PC that runs it is 10.0.2.2 there. */
  readonly lines: readonly string[]
}
