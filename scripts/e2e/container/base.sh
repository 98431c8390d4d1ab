#!/bin/bash
# A base image for docker/Dockerfile without a container engine: Debian's smallest system by debootstrap, with the
# Node.js and npm of this PC.
#   base.sh TAG BUILDAH-OPTIONS…      e.g. base.sh cloudx-base --root DIR --runroot DIR --storage-driver vfs
# The system is kept in $CONTAINER_CACHE, because it takes a minute to load. Node.js is taken anew each time.
# Needs root, debootstrap and buildah.
set -euo pipefail
TAG=$1; shift
CACHE=${CONTAINER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloudx-container}
SUITE=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}
NODE=${NODE:-$(readlink -f "$(command -v node)")}
NPM=$(dirname "$(readlink -f "$(command -v npm)")")/..
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"; flock 9

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

if [ ! -s "$CACHE/$SUITE.tar" ]; then
  echo "base: loading Debian $SUITE" >&2
  debootstrap --variant=minbase "$SUITE" "$WORK/system" >"$CACHE/debootstrap.log" 2>&1 || { tail -5 "$CACHE/debootstrap.log" >&2; exit 1; }
  # Nobody installs or reads anything in it.
  rm -rf "$WORK"/system/usr/share/{doc,locale,man,i18n,info} "$WORK"/system/var/{cache/apt,lib/apt/lists} "$WORK"/system/usr/lib/x86_64-linux-gnu/gconv
  tar -C "$WORK/system" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$CACHE/$SUITE.tar.part" .
  mv "$CACHE/$SUITE.tar.part" "$CACHE/$SUITE.tar"
fi

NODE_ROOT=$WORK/node
mkdir -p "$NODE_ROOT/usr/local/bin" "$NODE_ROOT/usr/local/lib/node_modules/npm" "$NODE_ROOT/etc/ssl/certs"
cp "$NODE" "$NODE_ROOT/usr/local/bin/node"
cp -r "$NPM/." "$NODE_ROOT/usr/local/lib/node_modules/npm/"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$NODE_ROOT/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$NODE_ROOT/usr/local/bin/npx"
# Behind a proxy with a certificate of its own npm trusts what this PC trusts.
[ ! -s /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$NODE_ROOT/etc/ssl/certs/"
tar -C "$NODE_ROOT" --owner=0 --group=0 -cf "$WORK/node.tar" .

ln "$CACHE/$SUITE.tar" "$WORK/system.tar" 2>/dev/null || cp "$CACHE/$SUITE.tar" "$WORK/system.tar"
mkdir "$WORK/context"
mv "$WORK/system.tar" "$WORK/node.tar" "$WORK/context/"
printf 'FROM scratch\nADD system.tar /\nADD node.tar /\n' >"$WORK/context/Dockerfile"
buildah "$@" bud --isolation chroot --format docker -t "$TAG" "$WORK/context" >&2
