import { open } from 'node:fs/promises'
import { readHeader } from './file-pair.js'
import { encodeHeader, HEADER_LENGTH, type JournalHeader } from './journal-format.js'

/** The header of a map file. Throws DeltaError for one that cannot be read, or what open(2) gives. */
export async function readDeltaHeader(path: string): Promise<JournalHeader> {
  const file = await open(path, 'r')
  try {
    return await readHeader(file)
  } finally {
    await file.close()
  }
}

/**
 * Makes a delta that nobody has open one of another epoch or incarnation, durably. The records behind the header hang
 * on its salt alone, so they stay as they are. Nothing is written when the header says so already; a header that a
 * power cut tore is found by its checksum.
 */
export async function reissueDelta(
  path: string,
  { epoch, incarnation }: Pick<JournalHeader, 'epoch' | 'incarnation'>
): Promise<void> {
  const header = await readDeltaHeader(path)
  if (header.epoch === epoch && header.incarnation === incarnation) return
  const file = await open(path, 'r+')
  try {
    await file.write(encodeHeader({ ...header, epoch, incarnation }), 0, HEADER_LENGTH, 0)
    await file.datasync()
  } finally {
    await file.close()
  }
}
