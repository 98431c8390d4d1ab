#!/bin/sh
# Never swap silently: ext4 is mounted and cached, the host removes this client's delta while the server is away, the
# session comes back by itself. Nothing may be written to the new disk until the client has looked at it again.
#   PORT= [TARGET=]    The host takes part through the shared folder: flags `ready`, `swapped`, `tried`, `inspected`.
. /job/lib.sh
modules ext4
attach
must "mkfs.ext4" mkfs.ext4 -q -F $DISK
must "mount" mount -t ext4 $DISK /mnt
dd if=/dev/urandom of=/mnt/before bs=64k count=16 2>/dev/null; sync
flag_set ready
flag_wait swapped 120 || die "the host did not answer"
# The initiator logs in again by itself; what it has cached must not reach the other disk.
dd if=/dev/urandom of=/mnt/after bs=64k count=16 conv=fsync >/tmp/after 2>&1 && fail "a write was accepted as if nothing had happened"
note "$(tail -1 /tmp/after)"
[ "$(io_errors)" -gt 0 ] && echo "PASS: the client sees I/O errors" || fail "no I/O error in the kernel log"
umount /mnt 2>/dev/null || umount -l /mnt
# While the session lives, the host looks whether anything has reached the new disk.
flag_set tried
flag_wait inspected 60 || die "the host did not look"
logout >/dev/null 2>&1
finish
