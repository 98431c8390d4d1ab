import { copyFile, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from '../../util/directory.js'
import { readHeader } from './file-pair.js'
import { undefinedIfMissing } from './files.js'
import { encodeHeader, HEADER_LENGTH, type BaseFingerprint, type JournalHeader } from './journal-format.js'

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

/**
 * Makes a delta that nobody has open one over another base, which shows the same up to its end and may be larger. The
 * map file is replaced as a whole: a power cut leaves one over the old base or one over the new.
 */
export async function rebaseDelta(path: string, base: BaseFingerprint): Promise<void> {
  const header = await readDeltaHeader(path)
  const made = `${path}.new`
  try {
    await copyFile(path, made)
    const file = await open(made, 'r+')
    try {
      await file.write(encodeHeader({ ...header, base }), 0, HEADER_LENGTH, 0)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(made, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await unlink(made).catch(undefinedIfMissing)
    throw error
  }
}
