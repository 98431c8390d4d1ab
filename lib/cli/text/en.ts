import { describeOneSource } from '../../target/source-addresses.js'
import type { Text } from './text.js'

export const en: Text = {
  secret: {
    made: (path) => `${path} holds a new secret of 16 characters; only you can read it.`,
    use: 'Start the server with it:',
    clients: 'Whoever is to use the disk needs the user name pc and the line in this file; both are case-sensitive.',
    windowsAccess: 'So that no other user of this PC can read it (PowerShell):',
    exists: (path) => `${path} exists already and is left as it is; name another file, or remove this one first.`
  },
  image: {
    blank: (path, size) => `${path}: ${size} of zeroes, sparse.`,
    empty: (path, label, size) => `${path}: an empty drive ${label} of ${size}, sparse.`,
    filled: (path, label, size, { fileCount, directoryCount, size: content }) =>
      `${path}: a drive ${label} of ${size}, sparse, with ${counted(fileCount, 'file')} and ` +
      `${counted(directoryCount, 'folder')}, ${content} in all.`,
    leftOut: (sentence) => `Left out: ${sentence}.`,
    interrupted: (path) => `Interrupted; there is no ${path}.`
  },
  banner: {
    oneSource: describeOneSource,
    facts: { image: 'Image', name: 'Name', address: 'Address', open: 'Open to' },
    readOnly: 'read-only',
    shared: 'shared by all, writes go into the image',
    also: (addresses) => `also ${addresses}`,
    port: (address, port) => `${address}, port ${port}`,
    noAddress: 'no network: other PCs cannot reach this one now',
    onlyThisPc: 'programs on this PC alone; leave --host out to share with others',
    openToNetwork:
      'OPEN TO EVERYONE ON THIS NETWORK: nobody is asked for a secret. --allow limits who may come, and ' +
      '"cloudx secret new" makes a secret for --chap-user pc --chap-secret-file.',
    openToWorld: 'OPEN TO EVERYONE ON THIS NETWORK AND BEYOND: --allow * lets in every address, without a secret.',
    openTo: (entries) => `${entries}; a name alone is no proof, CHAP is`,
    nearOnly: 'this network',
    withChap: (who, user) => `${who}, with the secret of user ${user} (CHAP)`,
    promise: 'What each of them writes is private to them, and gone when they disconnect.',
    partition: (number) => `partition ${number}`,
    promiseOfSome:
      'What each of them writes is private to them, and gone when they disconnect; not so on an image that is marked ' +
      'above as read-only or shared by all.',
    promiseShared:
      'What one of them writes, all of them see, and it stays. NTFS, exFAT or ext4 breaks when two PCs use it at once: ' +
      'one at a time, or a cluster file system.',
    promiseReadOnly: 'Nobody can write to it.',
    warning: 'Careful',
    dhcp: (address) =>
      `${address} was lent by the router (DHCP) and can be another one tomorrow; then the others find nothing. ` +
      'Reserve it in the router, or set it by hand.',
    fat: (what, path, type) =>
      `${what} ${path} lies on a ${type} drive. It cannot hold sparse files and loses data more easily; use a drive ` +
      'with NTFS, ext4, XFS or APFS.',
    network: (what, path, name) =>
      `${what} ${path} lies on a network drive (${name}). When that is away, so are all disks; use a local drive.`,
    synced: (what, path, name) =>
      `${what} ${path} lies in a folder that ${name} copies to the cloud. Every change would be sent there, and it can ` +
      'lock or replace the file; use a folder that is not synced.',
    memory: (what, path) => `${what} ${path} lies in memory and is gone when this PC restarts.`,
    image: 'The image',
    state: 'The state folder',
    windows: 'Connect from Windows: PowerShell, opened with "Run as administrator"',
    windowsLeave: 'Disconnect (close the files first)',
    linux: 'Connect from Linux (package open-iscsi)',
    linuxLeave: 'Disconnect',
    qemu: 'Boot a virtual machine with QEMU',
    ipxe: 'Boot a PC with iPXE',
    firewall:
      'Once on this PC, so that the firewall lets the others in: PowerShell, opened with "Run as administrator"',
    secretHint: (secret) => `Type the line of the secret file in place of ${secret}.`,
    mutualHint: (secret) => `${secret} stands for the secret of --chap-mutual-user.`,
    qemuHint: (file) => `QEMU reads the secret from the file ${file}, where no line end may follow it.`,
    otherTargets: (names) => `The same goes for the other targets: ${names}.`,
    author: (address, port) =>
      `To fill the disk: stop, start once more with --author local, and connect from this PC, to ${address} port ` +
      `${port}. What you write then goes into the image itself.`,
    authorIs:
      'Authors write into the image itself. Everybody else has to be away meanwhile; stop and start without --author ' +
      'when it is filled.',
    authorOfShared: (address, port) =>
      `To fill the disk: connect from this PC, to ${address} port ${port}, while nobody else is connected. What you ` +
      'write goes into the image itself.',
    authorOfReadOnly: 'To fill the disk: stop, and start once more with --author local in place of --read-only.',
    ends: 'The share ends when this window is closed or Ctrl+C is pressed; what clients wrote is kept for the next start.',
    autostart: 'To start it with the PC',
    autostartWindows: 'To start it with the PC: PowerShell, opened with "Run as administrator"'
  },
  doctor: {
    states: { ok: 'OK', problem: 'FIX', unknown: '?' },
    checks: {
      port: 'Port',
      firewall: 'Firewall',
      'network-profile': 'Network profile',
      'fixed-address': 'Fixed address',
      sleep: 'Sleep',
      'free-space': 'Free space',
      'state-file-system': 'File system',
      clock: 'Clock',
      antivirus: 'Antivirus'
    },
    portFree: (port, address) => `Port ${port} is free, and this PC reaches it at ${address}.`,
    portTaken: (port) => `Port ${port} is in use, by Cloud-x itself if it runs already. This shows by whom:`,
    portForbidden: (port) => `This user may not listen on port ${port}. Take another one:`,
    addressMissing: (address) => `${address} is no address of this PC. Listen on all of its own:`,
    portUnreachable: (address, port) =>
      `This PC cannot reach its own port ${port} at ${address}; a firewall or a VPN is in between. Look at its routes:`,
    noNetwork: 'This PC has no network, so nobody can reach it. Its adapters:',
    firewallOff: 'No firewall is active.',
    firewallLets: (port) => `The firewall lets others in at port ${port}.`,
    firewallBlocks: (port) => `The firewall keeps others out of port ${port}. This lets them in:`,
    firewallUnknown: 'It cannot be found out without more rights whether the firewall lets others in. If it does not:',
    profilePrivate: 'The network counts as private.',
    profilePublic: (name) => `Windows takes the network "${name}" for a public one and hides this PC from it.`,
    profileNone: 'This system has no network profiles.',
    profileUnknown: 'Windows did not tell which profile the network has. This shows it:',
    addressFixed: (address) => `${address} was set by hand and stays.`,
    addressLent: (address) =>
      `${address} was lent by the router (DHCP) and can change. Reserve it in the router, or set it by hand:`,
    addressUnknown: (address) => `It cannot be found out whether ${address} stays. Look whether it was set by hand:`,
    sleepNever: 'This PC does not go to sleep by itself.',
    sleepOn: 'This PC goes to sleep when nobody uses it, and all disks with it. This keeps it awake:',
    sleepUnknown: 'It cannot be found out whether this PC goes to sleep. This keeps it awake:',
    spaceEnough: (free) => `${free} are free for what clients write.`,
    spaceShort: (free, needed) =>
      `${free} are free; below ${needed} clients can write nothing new. Keep the state on another drive:`,
    spaceUnknown: 'It cannot be found out how much is free. This shows it:',
    placeGood: (type) => `The state directory lies on a local drive (${type}).`,
    placeUnknown: (path) => `It cannot be found out what ${path} lies on. This shows it:`,
    clockRight: 'The clock is kept right by a time server.',
    clockWrong: 'The clock is wrong. This sets it:',
    clockAlone: 'No time server keeps the clock right. This changes it:',
    clockUnknown: 'It cannot be found out whether a time server keeps the clock right. If it is wrong:',
    antivirusNone: 'No program was found that scans files while they are used.',
    antivirusHint: (names) =>
      `${names} may scan the image at every access. Other products than Microsoft Defender have a list of exceptions in ` +
      'their settings. If disks are slow, for Defender:',
    antivirusUnknown: 'Windows did not tell which antivirus program runs. If disks are slow, for Microsoft Defender:',
    problems: (count) => `${count} to fix.`,
    allWell: 'Nothing to fix.'
  }
}

function counted(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`
}
