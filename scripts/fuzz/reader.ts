import { PduReader, type PduSink } from '../../lib/pdu/reader.js'
import type { Random } from '../../spec/support/random.js'
import { demandEqual, type Fuzzer } from './fuzzer.js'
import { frameAt, framed, type Framing } from './framing.js'
import { randomAhs } from './ahs.js'

/** Streams up to this long are cut at every byte; longer ones at random places. */
const EVERY_SPLIT_MAX = 600

/** The PDU reader: the same PDUs, Rejects and ends however the stream is cut, and those that the standard says. */
export const reader: Fuzzer = {
  name: 'reader',
  about: 'PDU streams, sound and damaged, with and without digests, cut at every byte',
  share: 1,
  open: () => ({ round, close: () => undefined })
}

function round(random: Random): number {
  const framing: Framing = {
    lengthMax: random.pick([512, 8192]),
    headerDigest: random.chance(0.5),
    dataDigest: random.chance(0.5)
  }
  const stream = damaged(random, sound(random, framing))
  const expected = whatItMeans(stream, framing)
  let pdus = 0
  for (const cuts of waysToCut(random, stream.length)) {
    const seen = whatTheReaderSays(stream, cuts, framing)
    demandEqual(`cut at ${cuts.join(',')}, the stream ${stream.toString('hex')}`, seen.join('\n'), expected.join('\n'))
    pdus += seen.length
  }
  return pdus
}

function sound(random: Random, framing: Framing): Buffer {
  const pdus = Array.from({ length: 1 + random.int(6) }, () => {
    const bhs = random.bytes(Buffer.alloc(48))
    const ahs = random.chance(0.3) ? randomAhs(random) : Buffer.alloc(0)
    const data = random.bytes(Buffer.alloc(random.chance(0.5) ? random.int(40) : random.int(framing.lengthMax)))
    return framed(bhs, ahs, random.chance(0.3) ? Buffer.alloc(0) : data, framing)
  })
  return Buffer.concat(pdus)
}

function damaged(random: Random, stream: Buffer): Buffer {
  if (random.chance(0.3)) return stream
  for (let count = random.int(3); count > 0; count--) stream[random.int(stream.length)] = random.int(256)
  return random.chance(0.3) ? stream.subarray(0, random.int(stream.length)) : stream
}

function* waysToCut(random: Random, length: number): Generator<number[]> {
  yield []
  yield Array.from({ length }, (_unused, at) => at)
  if (length <= EVERY_SPLIT_MAX) for (let at = 1; at < length; at++) yield [at]
  else for (let count = 0; count < 8; count++) yield [random.int(length), random.int(length)].sort((a, b) => a - b)
}

function whatItMeans(stream: Buffer, framing: Framing): string[] {
  const events: string[] = []
  for (let at = 0; ;) {
    const next = frameAt(stream, at, framing)
    if (next.kind === 'missing') return events
    if (next.kind === 'lost') return [...events, `error ${at}`]
    const { ahs, data, fault, length } = next.pdu
    events.push(fault === 0 ? `pdu ${at} ${ahs.length} ${data.length}` : `reject ${at} ${fault}`)
    at += length
  }
}

function whatTheReaderSays(stream: Buffer, cuts: readonly number[], framing: Framing): string[] {
  const events: string[] = []
  const sink: PduSink = {
    pdu: (_ring, at, ahsLength, _dataOffset, dataLength) => events.push(`pdu ${at} ${ahsLength} ${dataLength}`) > 0,
    reject: (error, _ring, at) => events.push(`reject ${at} ${error.reason}`) > 0,
    error: (_error, _ring, at) => void events.push(`error ${at}`)
  }
  const pduReader = new PduReader({ ...framing, maxDataSegmentLength: framing.lengthMax })
  let consumed = 0
  for (const end of [...cuts, stream.length]) consumed = pduReader.parse(stream, consumed, end, sink)
  return events
}
