#!/bin/sh
# fio: random writes of mixed sizes, direct, queue depth 16, a crc32c in every block, verified; a new session sees the original.
#   PORT= SUM=<sha256 of the first 64 KiB> [TARGET=] [MB=8] [DEPTH=16] [BS=512-256k] [SEED=1] [HEADER_DIGEST= DATA_DIGEST=]
. /job/lib.sh
attach
session_facts | grep -E 'Digest|Burst|Segment|R2T|Immediate'
first() { dd if=$DISK bs=64k count=1 iflag=direct 2>/dev/null | sha256sum | cut -c1-64; }
check "the disk shows the original" [ "$(first)" = "$SUM" ]
# With mixed block sizes random writes overlap; those that overlap must not be in flight together, for a target may
# take them in either order.
job() { fio --name=v --filename=$DISK --direct=1 --ioengine=libaio --rw=randwrite --bsrange=${BS:-512-256k} --blockalign=512 \
  --size=${MB:-8}m --iodepth=${DEPTH:-16} --verify=crc32c --verify_fatal=1 --verify_dump=0 --verify_state_save=0 \
  --randseed=${SEED:-1} --allrandrepeat=1 --serialize_overlap=1 --group_reporting --eta=never "$@"; }
check "write and verify" job --do_verify=1
check "verify once more" job --verify_only
note "logout, login"
reattach
check "the original is back" [ "$(first)" = "$SUM" ]
must "logout" logout
[ "$(io_errors)" = 0 ] || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
[ "$(conn_errors)" = 0 ] || fail "the session lost its connection"
finish
