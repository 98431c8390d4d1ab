import { spawn } from 'node:child_process'
import type { Tool } from './rows.js'
import { HOST, TARGET_NAME, type Server } from './servers.js'

export interface ProgramRun {
  readonly operations: number
  readonly seconds: number
}

/** Runs one of the programs that are not ours against a server. Login and logout are part of what it costs. */
export async function runProgram(
  tool: Exclude<Tool, { kind: 'load' }>,
  server: Server,
  seconds: number
): Promise<ProgramRun> {
  const url = `iscsi://${HOST}:${server.port}/${TARGET_NAME}/${server.lun}`
  return tool.kind === 'iscsi-perf' ? runIscsiPerf(tool, url, seconds) : runQemuImg(tool, url)
}

async function runIscsiPerf(
  tool: Extract<Tool, { kind: 'iscsi-perf' }>,
  url: string,
  seconds: number
): Promise<ProgramRun> {
  const time = Math.max(1, Math.round(seconds))
  const options = ['-m', `${tool.depth}`, '-b', `${tool.blockLength / SECTOR}`, '-t', `${time}`]
  const output = await run('iscsi-perf', [...options, ...(tool.random ? ['-r'] : []), url])
  const rates = [...output.matchAll(/iops average (\d+)/g)]
  const last = rates.at(-1)
  if (!last) throw new Error(`iscsi-perf says no rate:\n${output}`)
  return { operations: Number(last[1]) * time, seconds: time }
}

async function runQemuImg(tool: Extract<Tool, { kind: 'qemu-img' }>, url: string): Promise<ProgramRun> {
  const size = ['-c', `${tool.count}`, '-d', `${tool.depth}`, '-s', `${tool.blockLength}`, '-S', `${tool.step}`]
  const output = await run('qemu-img', ['bench', ...size, ...(tool.write ? ['-w'] : []), '-f', 'raw', url])
  const time = /completed in ([\d.]+) seconds/.exec(output)
  if (!time) throw new Error(`qemu-img says no time:\n${output}`)
  return { operations: tool.count, seconds: Number(time[1]) }
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    child.stderr.on('data', (text: Buffer) => (output += text.toString()))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${program} ended with code ${code}:\n${output}`))
    )
  })
}

const SECTOR = 512
