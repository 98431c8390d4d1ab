#!/bin/sh
# A disposable disk: discovery, login, file system, files; after logout and a new login the original is back.
#   PORT= [TARGET=] [FS=ext4]   The disk must start with 64 KiB that the host has described in SUM=<sha256>.
. /job/lib.sh
FS=${FS:-ext4}
modules $FS
initiator_start
note "discovery at $PORTAL"
discover || die "discovery"
default_target
note "login to $TARGET"
must "login" login "$TARGET" "$PORTAL"
D=$(disk_of "$TARGET" "$LUN") || die "no disk for LUN $LUN"; DISK=/dev/$D
disk_facts; session_facts
first() { dd if=$DISK bs=64k count=1 iflag=direct 2>/dev/null | sha256sum | cut -c1-64; }
check "the disk shows the original" [ "$(first)" = "$SUM" ]
for p in 0x00 0x80 0x83 0x86 0xb0 0xb1 0xb2; do check "VPD page $p" sg_vpd -p $p $DISK; done
serial=$(sg_vpd -p 0x80 $DISK | tail -1)
check "READ CAPACITY(16)" sg_readcap --16 $DISK
check "REPORT SUPPORTED OPERATION CODES" sg_opcodes $DISK
check "MODE SENSE" sg_modes -a $DISK
note "mkfs.$FS, files"
must "mkfs.$FS" mkfs.$FS -F $DISK
must "mount" mount -t $FS $DISK /mnt
i=0; while [ $i -lt 20 ]; do dd if=/dev/urandom of=/mnt/f$i bs=1k count=$((i*i*7 % 300 + 1)) 2>/dev/null || fail "write f$i"; i=$((i+1)); done
mkdir /mnt/dir && cp /mnt/f1 /mnt/f2 /mnt/dir/ && rm /mnt/f0
(cd /mnt && find . -type f -exec sha256sum {} +) | sort -k2 > /tmp/sums
must "sync" sync
must "unmount" umount /mnt
blockdev --flushbufs $DISK
check "fsck" e2fsck -f -n $DISK
must "mount again" mount -t $FS $DISK /mnt
check "files as written" sh -c 'cd /mnt && sha256sum -c /tmp/sums'
check "fstrim" fstrim -v /mnt
must "unmount again" umount /mnt
check "what was written is there until the logout" [ "$(first)" != "$SUM" ]
note "logout, login"
reattach
check "the original is back" [ "$(first)" = "$SUM" ]
check "the serial number has not changed" [ "$(sg_vpd -p 0x80 $DISK | tail -1)" = "$serial" ]
must "logout" logout
[ "$(io_errors)" = 0 ] || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
[ "$(conn_errors)" = 0 ] || fail "the session lost its connection"
finish
