#!/bin/sh
# A new image is a drive: login, the kernel mounts its exFAT, the text is there; what is written is gone after logout.
#   PORT= [TARGET=]
. /job/lib.sh
modules exfat nls_utf8
attach
disk_facts
n=0; while [ ! -b "${DISK}1" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
check "the kernel finds one partition" [ -b "${DISK}1" ]
check "blkid sees exFAT and its label" sh -c "blkid -p ${DISK}1 | grep 'TYPE=\"exfat\"' | grep 'LABEL=\"CLOUD-X\"'"
check "sgdisk finds no problem" sh -c "sgdisk -v $DISK | grep 'No problems found'"
check "fsck before the first mount" fsck.exfat -n ${DISK}1
must "mount" mount -t exfat -o iocharset=utf8 ${DISK}1 /mnt
check "two texts and nothing else" [ "$(ls /mnt | wc -l)" = 2 ]
check "the English text" grep -q 'YOURS ALONE' /mnt/README.txt
check "the Korean text" grep -q '나만의 것' /mnt/읽어주세요.txt
i=0; while [ $i -lt 60 ]; do head -c $((i*185)) /dev/urandom > "/mnt/파일 $i.bin" || fail "write $i"; i=$((i+1)); done
mkdir -p /mnt/deep/깊은/folder && cp /mnt/README.txt /mnt/deep/깊은/folder/ && rm /mnt/README.txt
dd if=/dev/urandom of=/mnt/big bs=1M count=6 2>/dev/null || fail "big file"
(cd /mnt && find . -type f -exec sha256sum {} +) | sort -k2 > /tmp/sums
must "sync" sync
must "unmount" umount /mnt
check "fsck after files came and went" fsck.exfat -n ${DISK}1
must "mount again" mount -t exfat -o iocharset=utf8 ${DISK}1 /mnt
check "files as written" sh -c 'cd /mnt && sha256sum -c /tmp/sums >/dev/null'
must "unmount again" umount /mnt
note "logout, login"
reattach
n=0; while [ ! -b "${DISK}1" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
must "mount after logout" mount -t exfat -o ro,iocharset=utf8 ${DISK}1 /mnt
check "only the two texts are there again" [ "$(ls /mnt | wc -l)" = 2 ]
check "the text is back" grep -q 'YOURS ALONE' /mnt/README.txt
must "unmount at the end" umount /mnt
must "logout" logout
[ "$(io_errors)" = 0 ] || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
check "the kernel does not complain about the file system" sh -c '! dmesg | grep -i "exfat-fs" | grep -iv "not properly unmounted"'
finish
