/**
 * The disks that libiscsi's suite is run on, what it may do to each, and which of its tests are about what is special
 * there. `lun` is put behind the path of the image.
 *
 * @typedef {object} Configuration
 * @property {string} name
 * @property {string} title
 * @property {string} [lun]
 * @property {string[]} server arguments of the server
 * @property {string[]} suite arguments of iscsi-test-cu
 * @property {RegExp} special tests that are about this kind of disk
 * @property {boolean} [twoPaths] the suite gets the unit twice
 * @property {boolean} [twoInitiators] tests that need two initiators get two names
 * @property {string} [chapUser] the name that initiators must prove
 * @property {RegExp} [only] no other tests are run here
 * @property {RegExp} [destructive] only these may write; all, when left out
 */

/** @type {readonly Configuration[]} */
export const CONFIGURATIONS = [
  {
    name: 'thin',
    title: 'private thin disk, 512e',
    server: ['--size', '1G'],
    suite: [],
    special: /./
  },
  {
    name: '4kn',
    title: 'private thin disk, 4096-byte blocks',
    server: ['--size', '1G', '--block-size', '4096'],
    suite: [],
    special: /GetLBAStatus|ReadCapacity|WriteAtomic|\.Unmap\./
  },
  {
    name: 'thick',
    title: 'private disk, fully provisioned',
    server: ['--size', '1G', '--thick'],
    suite: [],
    special: /WriteSame|GetLBAStatus|ReadCapacity|\.Unmap\./
  },
  {
    name: 'chap',
    title: 'CHAP',
    server: ['--size', '1G'],
    suite: [],
    special: /CHAP|Logout|SendTargets/,
    chapUser: 'suite'
  },
  {
    name: 'chap-hex',
    title: 'CHAP, a name like a hexadecimal number',
    server: ['--size', '1G'],
    suite: [],
    special: /CHAP/,
    only: /CHAP/,
    chapUser: '0xsuite'
  },
  {
    name: 'chap-base64',
    title: 'CHAP, a name like a base64 number',
    server: ['--size', '1G'],
    suite: [],
    special: /CHAP/,
    only: /CHAP/,
    chapUser: '0bsuite'
  },
  {
    name: 'read-only',
    title: 'read-only disk',
    server: ['--size', '1G', '--read-only'],
    suite: [],
    special: /ReadOnly|ModeSense6|Read10/,
    // Many others write without asking whether they may, and say that they failed.
    only: /^ALL\.(ReadOnly|Inquiry|Mandatory|ModeSense6|Read\d+|ReadCapacity1\d|ReadDefectData1\d|Report\w+|TestUnitReady)\./,
    destructive: /ReadOnly/
  },
  {
    name: 'removable',
    title: 'removable medium',
    server: ['--size', '1G', '--removable'],
    suite: [],
    special: /NoMedia|PreventAllow|StartStopUnit/
  },
  {
    name: 'paths',
    title: 'two paths to one unit',
    server: ['--size', '1G'],
    suite: [],
    special: /MultipathIO|Reserve6|Prout/,
    twoPaths: true
  },
  {
    name: 'sanitize',
    title: 'sanitize allowed',
    server: ['--size', '1G', '--allow-sanitize'],
    suite: ['--allow-sanitize'],
    special: /Sanitize/
  },
  {
    name: 'shared',
    title: 'shared unit, two initiators',
    lun: ',shared',
    server: ['--size', '1G'],
    suite: [],
    special: /Prout|Prin|Reserve6|ExtendedCopy|CompareAndWrite|Mandatory/,
    twoInitiators: true
  }
]

/** Tests that fail on every target, or contradict what clients need; each with the reason. */
export const EXCUSED = {
  'ALL.iSCSITMF.AbortTaskSimpleAsync':
    "wants its command in libiscsi's send queue, where it stays only while the window is closed; what follows polls for POLLOUT alone, so it would never see the window open",
  'ALL.iSCSITMF.LUNResetSimpleAsync':
    "wants its command in libiscsi's send queue, where it stays only while the window is closed; what follows polls for POLLOUT alone, so it would never see the window open",
  'ALL.GetLBAStatus.UnmapSingle':
    'where a physical block has 8 logical ones it unmaps blocks 0 to i - 1, asks for LBA i + 1, which is mapped, and wants an answer that begins at i + 8, behind it. SBC wants the first descriptor to begin at the LBA that was asked for, whatever the granularity of provisioning is, and QEMU refuses another. Passes with 4096-byte blocks'
}

/** Tests that pass nowhere because of what this target is, each with the reason. */
export const NOT_APPLICABLE = {}
