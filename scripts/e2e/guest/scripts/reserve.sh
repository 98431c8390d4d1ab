#!/bin/sh
# One of two guests on a shared disk: a reservation of the holder keeps the other's writes out until it is taken over.
#   PORT= IQN= ROLE=holder|rival   The host shares a directory for both.
. /job/lib.sh
attach
prout() { sg_persist --out "$@" $DISK; }
writes() { dd if=/dev/urandom of=$DISK bs=4k count=1 seek=$1 oflag=direct; }
if [ "$ROLE" = holder ]; then
  must "register" prout --register --param-sark=0xabc1
  must "reserve, write exclusive" prout --reserve --param-rk=0xabc1 --prout-type=1
  check "its key holds" sh -c "sg_persist --in --read-reservation $DISK | grep -i 'key=0xabc1'"
  check "it writes" writes 1
  flag_set reserved
  flag_wait refused 120 || die "the rival did not try"
  check "both are registered" sh -c "sg_persist --in --read-keys $DISK | grep -ci '0xabc' | grep -x 2"
  flag_set seen
  flag_wait preempted 120 || die "the rival did not take over"
  # The first command after it is told so by a unit attention, which sg_persist shows and dd tries again.
  sg_turs $DISK >/dev/null 2>&1
  check "it writes no more" sh -c "! dd if=/dev/urandom of=$DISK bs=4k count=1 seek=1 oflag=direct"
  check "and reads on" dd if=$DISK of=/dev/null bs=4k count=1 seek=1 iflag=direct
  flag_set lost
  flag_wait released 120 || die "the rival did not release"
  check "and writes again" writes 1
else
  flag_wait reserved 120 || die "the holder did not reserve"
  check "it cannot write" sh -c "! dd if=/dev/urandom of=$DISK bs=4k count=1 seek=2 oflag=direct"
  check "it reads" dd if=$DISK of=/dev/null bs=4k count=1 iflag=direct
  must "register" prout --register --param-sark=0xabc2
  check "a registration alone does not write" sh -c "! dd if=/dev/urandom of=$DISK bs=4k count=1 seek=2 oflag=direct"
  flag_set refused
  flag_wait seen 120 || die "the holder did not look"
  must "preempt" prout --preempt --param-rk=0xabc2 --param-sark=0xabc1 --prout-type=1
  check "its key holds" sh -c "sg_persist --in --read-reservation $DISK | grep -i 'key=0xabc2'"
  check "it writes" writes 2
  flag_set preempted
  flag_wait lost 120 || die "the holder did not try"
  must "release" prout --release --param-rk=0xabc2 --prout-type=1
  must "unregister" prout --register --param-rk=0xabc2
  flag_set released
fi
must "logout" logout
finish
