#!/bin/sh
# CHAP in both directions and CRC32C digests, as iscsid and the kernel do them; a wrong secret stays outside. Behind
# chap.sh, which proves itself alone to the same target.
#   PORT= TARGET= CHAP_USER= CHAP_PASS= CHAP_USER_IN= CHAP_PASS_IN= HEADER_DIGEST= DATA_DIGEST= [CHAP_ALGS=]
. /job/lib.sh
note "login with a secret and digests"
attach
session_facts > /tmp/facts; cat /tmp/facts
check "header digests" grep -q 'HeaderDigest: CRC32C' /tmp/facts
check "data digests" grep -q 'DataDigest: CRC32C' /tmp/facts
dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null
must "write" dd if=/tmp/data of=$DISK bs=64k oflag=direct
blockdev --flushbufs $DISK
dd if=$DISK of=/tmp/back bs=64k count=64 iflag=direct 2>/dev/null
check "read back" cmp /tmp/data /tmp/back
must "logout" logout
set_node() { iscsiadm -m node -T "$TARGET" -p "$PORTAL" -o update -n "$1" -v "$2"; }
refused() { check "$1" sh -c "! iscsiadm -m node -T $TARGET -p $PORTAL --login"; }
note "a wrong secret of ours"
must "new secret" set_node node.session.auth.password "$CHAP_PASS-not"
refused "the target refuses us"
note "a target that does not know its secret"
must "right secret" set_node node.session.auth.password "$CHAP_PASS"
must "new secret for it" set_node node.session.auth.password_in "$CHAP_PASS_IN-not"
refused "we refuse the target"
[ "$(io_errors)" = 0 ] || fail "kernel logged I/O errors"
finish
