#!/bin/sh
# File systems of other systems, one after the other on the whole disk: made, filled, checked, compared; gone after logout.
#   PORT= SUM=<sha256 of the first 64 KiB> [TARGET=] [KINDS="ntfs vfat exfat"]
. /job/lib.sh
modules vfat exfat fuse nls_cp437 nls_ascii nls_iso8859-1 nls_utf8
attach
first() { dd if=$DISK bs=64k count=1 iflag=direct 2>/dev/null | sha256sum | cut -c1-64; }
make() { case $1 in ntfs) mkntfs -Q -F $DISK;; vfat) mkfs.fat -F 32 -I $DISK;; exfat) mkfs.exfat $DISK;; esac; }
join() { case $1 in ntfs) ntfs-3g $DISK /mnt;; vfat) mount -t vfat -o iocharset=utf8 $DISK /mnt;; exfat) mount -t exfat -o iocharset=utf8 $DISK /mnt;; esac; }
look() { case $1 in ntfs) ntfsfix -n $DISK;; vfat) fsck.fat -n $DISK;; exfat) fsck.exfat -n $DISK;; esac; }
for kind in ${KINDS:-ntfs vfat exfat}; do
  note "$kind"
  must "$kind: mkfs" make $kind
  must "$kind: mount" join $kind
  i=0; while [ $i -lt 20 ]; do head -c $((i * i * 911)) /dev/urandom > "/mnt/file $i.bin" || fail "write $i"; i=$((i+1)); done
  mkdir -p /mnt/folder/deep && cp "/mnt/file 7.bin" /mnt/folder/deep/ && rm "/mnt/file 3.bin"
  (cd /mnt && find . -type f -exec sha256sum {} +) | sort -k2 > /tmp/sums
  check "$kind: files are there" [ "$(wc -l < /tmp/sums)" = 20 ]
  must "$kind: sync and unmount" sh -c "sync && umount /mnt"
  blockdev --flushbufs $DISK
  check "$kind: fsck" look $kind
  must "$kind: mount again" join $kind
  check "$kind: files as written" sh -c 'cd /mnt && sha256sum -c /tmp/sums'
  must "$kind: unmount again" umount /mnt
done
check "what was written is there until the logout" [ "$(first)" != "$SUM" ]
reattach
check "the original is back" [ "$(first)" = "$SUM" ]
must "logout" logout
[ "$(io_errors)" = 0 ] || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
finish
