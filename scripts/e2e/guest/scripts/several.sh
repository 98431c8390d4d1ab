#!/bin/sh
# Other scripts one after the other in one boot, each with an initiator of its own. A boot costs as much as many of them.
#   SCRIPTS='one.sh two.sh:NAME=VALUE,NAME="$OTHER"'   The scripts come with it (guest.sh -f); what else they need as well.
. /job/lib.sh
for s in $SCRIPTS; do
  case $s in *:*) vars=$(echo "${s#*:}" | tr , ' ');; *) vars=;; esac
  note "${s%%:*} $vars"
  eval "env $vars sh /job/${s%%:*}" || fail "${s%%:*} (exit $?)"
  initiator_stop
done
finish
