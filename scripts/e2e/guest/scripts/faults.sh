#!/bin/sh
# I/O over a connection that is cut, reset and stalled on its way: no I/O error, and every byte is right.
#   PORT=<of the proxy> TARGET= FAULTS=<how many there will be> [MB=8]
. /job/lib.sh
# The stall shows only by a ping that is not answered.
NOOP_INTERVAL=${NOOP_INTERVAL:-3} NOOP_TIMEOUT=${NOOP_TIMEOUT:-5}
attach
job() { fio --name=v --filename=$DISK --direct=1 --ioengine=libaio --rw=randwrite --bsrange=512-256k --blockalign=512 \
  --size=${MB:-8}m --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_dump=0 --verify_state_save=0 \
  --randseed=${SEED:-1} --allrandrepeat=1 --serialize_overlap=1 --group_reporting --eta=never "$@"; }
check "write and verify" job --do_verify=1
note "$(conn_errors) connections were lost"
[ "$(conn_errors)" -ge "$FAULTS" ] && echo "PASS: every fault was one" || fail "$(conn_errors) connection errors for $FAULTS faults"
logout >/dev/null 2>&1 || fail "logout"
[ "$(io_errors)" = 0 ] && echo "PASS: no I/O error" || { fail "kernel logged I/O errors"; dmesg | grep -E 'I/O error' | tail -5; }
finish
