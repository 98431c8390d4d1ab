#!/bin/sh
# A push reaches a client that only reads: iscsid logs out and in again by itself, nothing of the other disk is read in the
# place of what is cached, and behind a rescan the other disk is there.
#   PORT= [TARGET=] SUM= (sha256 of the first 64 KiB before) AFTER= (the same of the new generation)
#   The host takes part: flags `ready`, `pushed`.
. /job/lib.sh
attach
first() { dd if=$DISK bs=64k count=1 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1; }
check "the generation of before" [ "$(first)" = "$SUM" ]
SERIAL=$(cat /sys/block/$D/device/wwid)
flag_set ready
flag_wait pushed 120 || die "the host did not answer"
# The session is back by itself; reads fail, or wait until it is.
_n=0; while [ "$(first)" = "$SUM" ] && [ $_n -lt 50 ]; do sleep 0.2; _n=$((_n+1)); done
check "reads of the other disk fail before it was looked at" [ "$(first)" != "$AFTER" ]
check "nothing of the old one is read either" [ "$(first)" != "$SUM" ]
echo 1 >/sys/block/$D/device/delete
iscsiadm -m session --rescan >/dev/null || fail "rescan"
D=$(disk_of "$TARGET" "$LUN") || die "no disk behind the rescan"
DISK=/dev/$D
check "the new generation" [ "$(first)" = "$AFTER" ]
check "it is another disk" [ "$(cat /sys/block/$D/device/wwid)" != "$SERIAL" ]
logout >/dev/null || fail "logout"
finish
