# Guest-side helpers: every script starts with  . /job/lib.sh   (POSIX sh, busybox)
# From the environment (guest.sh NAME=VALUE):
#   TARGET   target IQN (default: the first one discovery returns)
#   PORTAL   portal as the guest reaches it (default 10.0.2.2:$PORT, PORT default 3260)
#   IQN      initiator name (default iqn.2026-01.guest:$GUEST_NAME)
#   LUN      LUN to use (default 0)
#   CONF     extra iscsid.conf settings for node.*, as "key=value;key=value"
PORTAL=${PORTAL:-10.0.2.2:${PORT:-3260}}
IQN=${IQN:-iqn.2026-01.guest:${GUEST_NAME:-guest}}
LUN=${LUN:-0}
FAILS=0

now() { cut -d' ' -f1 /proc/uptime; }
note() { echo "[$(now)] == $*"; }
die() { echo "FAIL: $*"; exit 1; }
fail() { echo "FAIL: $*"; FAILS=$((FAILS+1)); }
# check DESCRIPTION COMMAND...: run, report PASS/FAIL, keep going (finish returns the tally)
check() { _d=$1; shift; if "$@" >/tmp/check.out 2>&1; then echo "PASS: $_d"; else _r=$?; fail "$_d (exit $_r)"; sed 's/^/      | /' /tmp/check.out | tail -15; return $_r; fi; }
# must DESCRIPTION COMMAND...: the same, but stop the script
must() { check "$@" || exit 1; }
finish() { [ "$FAILS" -eq 0 ] && echo "ALL-PASS" || echo "FAILURES: $FAILS"; exit $([ "$FAILS" -eq 0 ] && echo 0 || echo 1); }

# tell / wait for the host: lines on the console, and files in the shared directory (guest.sh -s)
tell_host() { echo "@@HOST:$*"; [ -n "$GUEST_SHARE" ] && echo "$*" > "/host/from-${GUEST_NAME}"; return 0; }
flag_set() { echo 1 > "/host/$1"; }
flag_wait() { _n=0; while [ ! -e "/host/$1" ]; do sleep 0.2; _n=$((_n+1)); [ $_n -gt $(( ${2:-60} * 5 )) ] && return 1; done; return 0; }

modules() { for _m in "$@"; do modprobe -q "$_m" || echo "no module $_m"; done; }

# initiator_start: iscsid with settings that suit tests; CHAP from the environment
#   CHAP_USER/CHAP_PASS (target authenticates us), CHAP_USER_IN/CHAP_PASS_IN (we authenticate it),
#   CHAP_ALGS (e.g. MD5 or SHA256,SHA1,MD5), HEADER_DIGEST/DATA_DIGEST (None | CRC32C | "CRC32C,None" | "None,CRC32C")
initiator_start() {
  modules scsi_mod sd_mod sg crc32c_intel crc32c_generic iscsi_tcp
  echo "InitiatorName=$IQN" > /etc/iscsi/initiatorname.iscsi
  {
    grep -v '^#' /etc/iscsi/iscsid.conf.debian | grep -v -e '^$' -e iscsid.startup -e HeaderDigest -e DataDigest -e replacement_timeout -e node.startup
    echo "node.startup = manual"
    echo "node.session.timeo.replacement_timeout = ${REPLACEMENT_TIMEOUT:-120}"
    echo "node.conn[0].iscsi.HeaderDigest = ${HEADER_DIGEST:-None}"
    echo "node.conn[0].iscsi.DataDigest = ${DATA_DIGEST:-None}"
    [ -n "$NOOP_INTERVAL" ] && echo "node.conn[0].timeo.noop_out_interval = $NOOP_INTERVAL"
    [ -n "$NOOP_TIMEOUT" ] && echo "node.conn[0].timeo.noop_out_timeout = $NOOP_TIMEOUT"
    if [ -n "$CHAP_USER" ]; then
      echo "node.session.auth.authmethod = CHAP"
      [ -n "$CHAP_ALGS" ] && echo "node.session.auth.chap_algs = $CHAP_ALGS"
      echo "node.session.auth.username = $CHAP_USER"
      echo "node.session.auth.password = $CHAP_PASS"
      [ -n "$CHAP_USER_IN" ] && { echo "node.session.auth.username_in = $CHAP_USER_IN"; echo "node.session.auth.password_in = $CHAP_PASS_IN"; }
    fi
    if [ -n "$DISC_CHAP_USER" ]; then
      echo "discovery.sendtargets.auth.authmethod = CHAP"
      echo "discovery.sendtargets.auth.username = $DISC_CHAP_USER"
      echo "discovery.sendtargets.auth.password = $DISC_CHAP_PASS"
      [ -n "$DISC_CHAP_USER_IN" ] && { echo "discovery.sendtargets.auth.username_in = $DISC_CHAP_USER_IN"; echo "discovery.sendtargets.auth.password_in = $DISC_CHAP_PASS_IN"; }
    fi
    [ -n "$CONF" ] && echo "$CONF" | tr ';' '\n' | sed 's/=/ = /'
  } > /etc/iscsi/iscsid.conf
  iscsid ${ISCSID_DEBUG:+-d $ISCSID_DEBUG} >/tmp/iscsid.log 2>&1 || die "iscsid did not start: $(cat /tmp/iscsid.log)"
  _n=0; while [ ! -e /run/iscsid.pid ] && [ $_n -lt 50 ]; do sleep 0.1; _n=$((_n+1)); done
}

# initiator_stop: no iscsid and none of its records any more, as after a boot
initiator_stop() {
  iscsiadm -m node -U all >/dev/null 2>&1
  iscsiadm -k 0 >/dev/null 2>&1
  _n=0; while pidof iscsid >/dev/null && [ $_n -lt 50 ]; do sleep 0.1; _n=$((_n+1)); done
  rm -rf /run/iscsid.pid /etc/iscsi/nodes/* /etc/iscsi/send_targets/* /var/lib/iscsi/nodes/* /var/lib/iscsi/send_targets/*
}

# discover [PORTAL]: what SendTargets reports.  Nothing is stored: a target bound to
# 127.0.0.1 reports 127.0.0.1:port, which in the guest is the guest itself.
discover() { iscsiadm -m discoverydb -t st -p "${1:-$PORTAL}" -o new >/dev/null 2>&1; iscsiadm -m discoverydb -t st -p "${1:-$PORTAL}" --discover -o nonpersistent; }
default_target() { [ -n "$TARGET" ] || TARGET=$(discover | awk 'NR==1{print $2}'); [ -n "$TARGET" ] || die "no target discovered at $PORTAL"; }

# node_new TARGET PORTAL [key=value...]: a node record for the portal the guest can reach
node_new() {
  _t=$1 _p=$2; shift 2
  iscsiadm -m node -o new -T "$_t" -p "$_p" >/dev/null || return 1
  for _kv in "$@"; do iscsiadm -m node -o update -T "$_t" -p "$_p" -n "${_kv%%=*}" -v "${_kv#*=}" || return 1; done
}
# login [TARGET [PORTAL [key=value...]]]: record + login; iscsiadm's status
login() {
  _t=${1:-$TARGET} _p=${2:-$PORTAL}; [ $# -ge 2 ] && shift 2 || shift $#
  node_new "$_t" "$_p" "$@" && iscsiadm -m node -T "$_t" -p "$_p" --login
}
logout() { iscsiadm -m node -T "${1:-$TARGET}" -p "${2:-$PORTAL}" --logout; }
# session_of TARGET [PORT]: sysfs names of its sessions
session_of() {
  for _s in /sys/class/iscsi_session/session*; do
    [ "$(cat "$_s/targetname" 2>/dev/null)" = "$1" ] || continue
    if [ -n "$2" ]; then _c=$(echo "$_s"/device/connection*/iscsi_connection/*); [ "$(cat "$_c/persistent_port")" = "$2" ] || continue; fi
    basename "$_s"
  done
}
# disk_of TARGET [LUN [PORT]]: waits (10 s) for the block device, prints sdX
disk_of() {
  _n=0
  while [ $_n -lt 100 ]; do
    for _s in $(session_of "$1" "$3"); do
      for _b in /sys/class/iscsi_session/"$_s"/device/target*/*:"${2:-$LUN}"/block/*; do
        [ -b "/dev/$(basename "$_b")" ] && { basename "$_b"; return 0; }
      done
    done
    sleep 0.1; _n=$((_n+1))
  done
  return 1
}
# attach: start the initiator, log in, set $DISK (/dev/sdX) and $D (sdX)
attach() {
  initiator_start; default_target
  login "$TARGET" "$PORTAL" >/tmp/login.out 2>&1 || { cat /tmp/login.out; die "login to $TARGET at $PORTAL"; }
  D=$(disk_of "$TARGET" "$LUN") || die "no disk for LUN $LUN of $TARGET"
  DISK=/dev/$D
}
# new session to the same target (relogin): $DISK may change its name
reattach() { logout >/dev/null || die "logout"; iscsiadm -m node -T "$TARGET" -p "$PORTAL" --login >/dev/null || die "second login"; D=$(disk_of "$TARGET" "$LUN") || die "no disk after relogin"; DISK=/dev/$D; }

q() { cat "/sys/block/$D/$1" 2>/dev/null; }
disk_facts() {
  echo "disk $DISK: $(blockdev --getsize64 $DISK) bytes, $(q size) x 512, logical $(q queue/logical_block_size) physical $(q queue/physical_block_size) ro=$(q ro) rotational=$(q queue/rotational)"
  echo "  io min $(q queue/minimum_io_size) opt $(q queue/optimal_io_size) max $(q queue/max_sectors_kb)K hw-max $(q queue/max_hw_sectors_kb)K; depth $(q device/queue_depth)"
  echo "  discard gran $(q queue/discard_granularity) max $(q queue/discard_max_bytes); write-zeroes max $(q queue/write_zeroes_max_bytes); cache '$(q queue/write_cache)' fua $(q queue/fua)"
  echo "  $(q device/vendor) | $(q device/model) | $(q device/rev) | scsi level $(q device/scsi_level) type $(q device/type) | wwid $(q device/wwid)"
  for _f in /sys/class/scsi_disk/*; do [ -e "$_f/device/block/$D" ] && echo "  cache_type '$(cat $_f/cache_type)' FUA $(cat $_f/FUA) provisioning $(cat $_f/provisioning_mode) thin $(cat $_f/thin_provisioning) protection $(cat $_f/protection_type)"; done
}
session_facts() {  # what login negotiated
  iscsiadm -m session -P 2 | grep -E 'Target:|Persistent Portal|Current Portal|Iface Initiatorname|SID:|State|Digest|MaxRecv|MaxXmit|FirstBurst|MaxBurst|ImmediateData|InitialR2T|MaxOutstanding|username|password' | sed 's/^[\t ]*/  /'
}
# conn_errors: how often this boot's sessions lost their connection (kernel log)
conn_errors() { dmesg | grep -c 'detected conn error'; }
io_errors() { dmesg | grep -cE 'I/O error, dev|Buffer I/O error|blk_update_request'; }
