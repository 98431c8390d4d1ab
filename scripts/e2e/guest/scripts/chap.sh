#!/bin/sh
# One-way CHAP: nobody without a secret, nobody with a wrong one, the right one comes in.
#   PORT= TARGET= NAME= SECRET=
. /job/lib.sh
initiator_start
must "a record" node_new "$TARGET" "$PORTAL"
set_node() { iscsiadm -m node -T "$TARGET" -p "$PORTAL" -o update -n "$1" -v "$2"; }
come() { iscsiadm -m node -T "$TARGET" -p "$PORTAL" --login; }
refused() { if come >/tmp/come 2>&1; then fail "$1"; elif grep -qi 'authorization failure' /tmp/come; then echo "PASS: $1"; else fail "$1: $(tail -1 /tmp/come)"; fi; }
refused "without a secret it is refused"
must "CHAP" set_node node.session.auth.authmethod CHAP
must "a name" set_node node.session.auth.username "$NAME"
must "a wrong secret" set_node node.session.auth.password "$SECRET-not"
refused "with a wrong secret it is refused"
must "the right secret" set_node node.session.auth.password "$SECRET"
must "the right secret comes in" come
D=$(disk_of "$TARGET" "$LUN") || die "no disk"; DISK=/dev/$D
check "and reads" dd if=$DISK of=/dev/null bs=64k count=16 iflag=direct
must "logout" logout
[ "$(io_errors)" = 0 ] || fail "kernel logged I/O errors"
finish
