#!/bin/sh
# One of two guests on one image: writes its own content, waits for the other, finds its own and nothing of the other's.
#   PORT= IQN= SUM=<sha256 of the first 64 KiB> ME= OTHER=   The host shares a directory for both.
. /job/lib.sh
modules ext4
attach
first() { dd if=$DISK bs=64k count=1 iflag=direct 2>/dev/null | sha256sum | cut -c1-64; }
check "the disk shows the original" [ "$(first)" = "$SUM" ]
flag_set "began-$ME"
flag_wait "began-$OTHER" 120 || die "the other guest did not begin"
must "mkfs.ext4" mkfs.ext4 -q -F -L "$ME" $DISK
must "mount" mount -t ext4 $DISK /mnt
i=0; while [ $i -lt 40 ]; do echo "$ME $i" > "/mnt/$ME-$i"; i=$((i+1)); done
dd if=/dev/urandom of=/mnt/random bs=64k count=64 2>/dev/null; sum=$(sha256sum < /mnt/random)
must "sync and unmount" sh -c "sync && umount /mnt"
flag_set "wrote-$ME"
flag_wait "wrote-$OTHER" 120 || die "the other guest did not write"
blockdev --flushbufs $DISK
check "fsck" e2fsck -f -n $DISK
must "mount again" mount -t ext4 $DISK /mnt
check "the label is mine" [ "$(blkid -p -s LABEL -o value $DISK)" = "$ME" ]
check "my files are there" [ "$(cat /mnt/$ME-* | sort -u | wc -l)" = 40 ]
check "none of the other's" sh -c "! ls /mnt/$OTHER-*"
check "my bytes are mine" [ "$(sha256sum < /mnt/random)" = "$sum" ]
must "unmount" umount /mnt
reattach
check "the original is back" [ "$(first)" = "$SUM" ]
must "logout" logout
[ "$(io_errors)" = 0 ] || fail "kernel logged I/O errors"
finish
