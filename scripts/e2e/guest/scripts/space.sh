#!/bin/sh
# What a file system's work takes of the delta: files copied in, removed, and the free space trimmed, twice. At each step
# the host looks at the files of the delta, and lets the guest go on.
#   PORT= [TARGET=] [FS=ext4] MB=<how much is copied>
. /job/lib.sh
FS=${FS:-ext4}
modules $FS
initiator_start
default_target
must "login" login "$TARGET" "$PORTAL"
D=$(disk_of "$TARGET" "$LUN") || die "no disk for LUN $LUN"; DISK=/dev/$D
step() { sync; blockdev --flushbufs $DISK; flag_set "$1"; flag_wait "$1-seen" 300 || die "the host did not look at $1"; }
copy() { i=0; while [ $i -lt 16 ]; do dd if=/dev/urandom of=/mnt/f$i bs=64k count=$((MB)) 2>/dev/null || fail "write f$i"; i=$((i+1)); done; }
must "mkfs.$FS" mkfs.$FS -q -F $DISK
must "mount" mount -t $FS $DISK /mnt
step made
copy; step copied
rm /mnt/f*; step removed
must "fstrim" fstrim /mnt; step trimmed
copy; (cd /mnt && sha256sum f*) > /tmp/sums; step again
check "files as written" sh -c 'echo 3 > /proc/sys/vm/drop_caches; cd /mnt && sha256sum -c /tmp/sums'
i=0; while [ $i -lt 16 ]; do dd if=/dev/zero of=/mnt/f$i bs=64k count=$((MB)) conv=notrunc 2>/dev/null || fail "zero f$i"; i=$((i+1)); done; step zeroed
must "unmount" umount /mnt
must "logout" logout
[ "$(io_errors)" = 0 ] || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
finish
