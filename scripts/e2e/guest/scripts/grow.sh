#!/bin/sh
# A disk that grows under a mounted file system: the kernel is told (2A/09), a rescan finds the new size, what was
# written is there, and the new part takes writes.
#   PORT= [TARGET=] BEFORE= AFTER= (512-byte sectors)    The host takes part: flags `ready`, `grown`.
. /job/lib.sh
modules ext4
attach
check "the size of before" [ "$(q size)" = "$BEFORE" ]
must "mkfs.ext4" mkfs.ext4 -q -F $DISK
must "mount" mount -t ext4 $DISK /mnt
dd if=/dev/urandom of=/mnt/file bs=64k count=32 2>/dev/null; sync
SUM1=$(sha256sum </mnt/file)
flag_set ready
flag_wait grown 120 || die "the host did not answer"
dd if=$DISK of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null
check "the kernel heard of it" sh -c 'dmesg | grep -qi "capacity data has changed"'
echo 1 >/sys/block/$D/device/rescan
check "the size of after" [ "$(q size)" = "$AFTER" ]
echo 3 >/proc/sys/vm/drop_caches
check "the file is what it was" [ "$(sha256sum </mnt/file)" = "$SUM1" ]
dd if=/dev/urandom of=/tmp/tail bs=64k count=1 2>/dev/null
dd if=/tmp/tail of=$DISK bs=64k seek=$((AFTER / 128 - 1)) oflag=direct 2>/dev/null
dd if=$DISK of=/tmp/back bs=64k skip=$((AFTER / 128 - 1)) count=1 iflag=direct 2>/dev/null
check "the new end takes writes" cmp /tmp/tail /tmp/back
must "umount" umount /mnt
check "the file system is clean" e2fsck -f -n $DISK
check "no I/O error" [ "$(io_errors)" -eq 0 ]
logout >/dev/null || fail "logout"
finish
