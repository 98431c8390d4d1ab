#!/bin/bash
# Build (or reuse) the guest kernel + initramfs in $VM_CACHE.  Idempotent: every
# stage is skipped when its output exists and its inputs are unchanged.
#   build.sh            build what is missing
#   build.sh -f         rebuild the initramfs (keeps downloads and the fio build)
#   build.sh -F         start over (wipes the cache except downloaded debs)
# Needs on the host: apt (a Debian mirror), dpkg-deb, cpio, kmod, python3, and
# gcc+make+libaio-dev+zlib1g-dev for the static fio (falls back to Debian's fio).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
VM_CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloudx-guest}
KSRC=${KSRC:-$VM_CACHE/kernel}           # an extracted linux-image deb, if there is one
mkdir -p "$VM_CACHE"
exec 9>"$VM_CACHE/.lock"; flock 9

say() { echo "build: $*" >&2; }
case "${1:-}" in
  -f) rm -f "$VM_CACHE/initrd.stamp" ;;
  -F) rm -rf "$VM_CACHE/initrd.stamp" "$VM_CACHE/root" "$VM_CACHE/pkgroot" "$VM_CACHE/fio" \
             "$VM_CACHE/vmlinux" "$VM_CACHE/vmlinuz" "$VM_CACHE/kernel" "$VM_CACHE/src" ;;
esac

need=()
command -v cpio >/dev/null || need+=(cpio)
command -v depmod >/dev/null || need+=(kmod)
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86 qemu-utils)
if [ ${#need[@]} -gt 0 ]; then say "installing ${need[*]}"; apt-get install -y -q --no-install-recommends "${need[@]}" >/dev/null; fi

# ---- 1. Debian packages, extracted privately (nothing is installed on the host)
PKGS="busybox-static open-iscsi libopeniscsiusr libisns0 e2fsprogs libext2fs2 bsdextrautils
 xfsprogs libinih1 liburcu8 dosfstools ntfs-3g libntfs-3g89 exfatprogs
 sg3-utils libsgutils2-1.46-2 lsscsi gdisk fdisk parted libparted2 strace
 dash bash diffutils multipath-tools kpartx libaio1 socat libwrap0 util-linux coreutils kmod dmsetup libdevmapper1.02.1"
PKGS=$(echo $PKGS)
mkdir -p "$VM_CACHE/debs" "$VM_CACHE/pkgroot"
if [ "$(cat "$VM_CACHE/pkgroot/.pkgs" 2>/dev/null)" != "$PKGS" ]; then
  say "downloading packages"
  miss=()
  for p in $PKGS; do compgen -G "$VM_CACHE/debs/${p}_*.deb" >/dev/null || miss+=("$p"); done
  if [ ${#miss[@]} -gt 0 ]; then (cd "$VM_CACHE/debs" && apt-get download -q "${miss[@]}" >/dev/null 2>&1) || { say "apt-get download failed for: ${miss[*]}"; exit 1; }; fi
  for p in $PKGS; do
    d=$(compgen -G "$VM_CACHE/debs/${p}_*.deb" | tail -1)
    dpkg-deb -x "$d" "$VM_CACHE/pkgroot"
  done
  echo "$PKGS" > "$VM_CACHE/pkgroot/.pkgs"; rm -f "$VM_CACHE/initrd.stamp"
fi

# ---- 2. kernel: vmlinux (uncompressed ELF for PVH direct boot) + module tree
if [ ! -d "$KSRC/lib/modules" ]; then
  KSRC=$VM_CACHE/kernel
  if [ ! -d "$KSRC/lib/modules" ]; then
    k=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -1)
    say "downloading $k"
    (cd "$VM_CACHE/debs" && apt-get download -q "$k" >/dev/null 2>&1)
    dpkg-deb -x "$(ls "$VM_CACHE/debs/${k}"_*.deb | tail -1)" "$KSRC"
  fi
fi
KVER=$(ls "$KSRC/lib/modules" | tail -1)
cp -u "$KSRC/boot/vmlinuz-$KVER" "$VM_CACHE/vmlinuz"
if [ ! -s "$VM_CACHE/vmlinux" ] || [ "$(cat "$VM_CACHE/vmlinux.ver" 2>/dev/null)" != "$KVER" ]; then
  say "extracting vmlinux $KVER"
  python3 - "$VM_CACHE/vmlinuz" "$VM_CACHE/vmlinux.tmp" <<'PY'
import lzma, gzip, sys
d = open(sys.argv[1], 'rb').read()
for magic, f in ((b'\xfd7zXZ\0', lambda b: lzma.LZMADecompressor().decompress(b)),):
    i = d.find(magic)
    while i >= 0:
        try:
            o = f(d[i:])
            if o[:4] == b'\x7fELF':
                open(sys.argv[2], 'wb').write(o); sys.exit(0)
        except Exception: pass
        i = d.find(magic, i + 1)
sys.exit('no xz-compressed ELF found in vmlinuz')
PY
  strip --strip-debug "$VM_CACHE/vmlinux.tmp" 2>/dev/null || true
  mv "$VM_CACHE/vmlinux.tmp" "$VM_CACHE/vmlinux"; echo "$KVER" > "$VM_CACHE/vmlinux.ver"
fi

# ---- 3. a static fio (Debian's drags in ceph/icu: 80 MB of libraries)
if [ ! -x "$VM_CACHE/fio" ]; then
  if (
    set -e
    mkdir -p "$VM_CACHE/src/apt/lists/partial"; cd "$VM_CACHE/src"
    dpkg -s libaio-dev zlib1g-dev >/dev/null 2>&1 || apt-get install -y -q --no-install-recommends libaio-dev zlib1g-dev >/dev/null
    if ! compgen -G 'fio_*.orig.tar.*' >/dev/null; then
      # The sources of the packages, from wherever this machine has its packages.
      { sed -n 's/^deb /deb-src /p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
        sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/*.sources > apt/src.sources; } > apt/src.list 2>/dev/null || true
      [ -s apt/src.list ] && list=src.list || list=src.sources
      o=(-o Dir::Etc::sourcelist="$PWD/apt/$list" -o Dir::Etc::sourceparts=/dev/null
         -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
      apt-get -q "${o[@]}" update >/dev/null 2>&1
      apt-get -q "${o[@]}" --download-only source fio >/dev/null 2>&1
    fi
    rm -rf fio-[0-9]*/ ; tar xf "$(compgen -G 'fio_*.orig.tar.*z*' | grep -v asc | head -1)"; cd fio-[0-9]*/
    say "building static fio (about 2 minutes, once)"
    nice ./configure --build-static --disable-native > configure.log 2>&1
    nice make -j2 fio > make.log 2>&1
    strip fio; cp fio "$VM_CACHE/fio"
  ); then :; else
    say "static fio failed; using Debian's fio and its libraries"
    cp "$(command -v fio)" "$VM_CACHE/fio"
  fi
  rm -f "$VM_CACHE/initrd.stamp"
fi

# ---- 4. initramfs
MODULES="virtio_pci virtio_mmio virtio_net virtio_blk virtio_rng e1000 9p 9pnet_virtio
 iscsi_tcp libiscsi libiscsi_tcp scsi_transport_iscsi iscsi_ibft iscsi_boot_sysfs sd_mod sg
 crc32c_generic crc32c_intel crct10dif_pclmul crct10dif_common ext4 xfs vfat msdos exfat ntfs3 fuse loop
 nls_cp437 nls_ascii nls_iso8859-1 nls_utf8
 dm_mod dm_multipath dm_round_robin dm_service_time dm_queue_length scsi_dh_alua sch_netem"
BINS="iscsid iscsiadm iscsistart mkfs.ext4 mke2fs e2fsck fsck.ext4 dumpe2fs tune2fs resize2fs debugfs
 mkfs.xfs xfs_repair mkfs.fat mkfs.vfat fsck.fat fsck.vfat mkntfs mkfs.ntfs ntfs-3g ntfsfix ntfsinfo ntfscluster lowntfs-3g
 mkfs.exfat fsck.exfat sgdisk sfdisk fdisk parted partprobe partx blkdiscard blockdev lsblk blkid wipefs findmnt
 lsscsi kmod strace socat multipath multipathd kpartx dmsetup mount umount flock timeout stdbuf dd truncate dash bash cmp diff mountpoint fstrim losetup sync sha256sum md5sum head tail sort
 swapon swapoff mkswap fallocate hexdump findfs setsid taskset"
stamp=$( { echo "$PKGS|$MODULES|$BINS|$KVER"; sha256sum "$HERE/init" "$VM_CACHE/fio" "$VM_CACHE/pkgroot/.pkgs"; sed -n '/^# ---- 4/,$p' "$0"; } | sha256sum | cut -c1-64)
if [ "$(cat "$VM_CACHE/initrd.stamp" 2>/dev/null)" = "$stamp" ] && [ -s "$VM_CACHE/initrd.cpio" ]; then
  say "up to date ($VM_CACHE)"; exit 0
fi
say "building initramfs"
R=$VM_CACHE/root; rm -rf "$R"
mkdir -p "$R"/{usr/bin,usr/sbin,usr/lib,usr/lib64,dev,proc,sys,run/lock/iscsi,tmp,mnt,job,host,root,var/lib/iscsi,var/run,var/lock}
mkdir -p "$R"/etc/{iscsi/nodes,iscsi/send_targets,multipath}
for l in bin sbin lib lib64; do ln -s "usr/$l" "$R/$l"; done
P=$VM_CACHE/pkgroot
LIBS="$P/lib:$P/usr/lib:$P/lib/x86_64-linux-gnu:$P/usr/lib/x86_64-linux-gnu:$P/lib/multipath:$P/usr/lib/multipath"

copy_libs() {  # ELF files -> their shared libraries
  { LD_LIBRARY_PATH=$LIBS ldd "$@" 2>/dev/null || true; } | awk '/=> not found/{print "MISSING " $1} /=> \//{print $3} /^[ \t]*\/lib64/{print $1}' | sort -u |
  while read -r a b; do
    if [ "$a" = MISSING ]; then say "missing library $b"; exit 1; fi
    case "$a" in
      /lib64/*) cp -nL "$a" "$R/usr/lib64/" ;;
      *) cp -nL "$a" "$R/usr/lib/" ;;
    esac
  done
}
find_bin() { local d; for d in usr/bin usr/sbin bin sbin; do [ -e "$P/$d/$1" ] && { echo "$P/$d/$1"; return; }; done; command -v "$1" || true; }

cp "$P/bin/busybox" "$R/usr/bin/busybox"
for a in $("$R/usr/bin/busybox" --list); do
  case "$a" in busybox|modprobe|insmod|lsmod|rmmod|depmod|modinfo) ;; *) ln -s busybox "$R/usr/bin/$a";; esac
done
all=()
put() { # SRC NAME
  local src=$1 name=$2
  while [ -L "$src" ]; do  # keep what the name runs, drop symlink chains that leave the root
    t=$(readlink "$src"); case "$t" in /*) t=$P$t; [ -e "$t" ] || t=$(readlink -f "$src");; *) t=$(dirname "$src")/$t;; esac; src=$t
  done
  rm -f "$R/usr/bin/$name" "$R/usr/sbin/$name"
  cp "$src" "$R/usr/sbin/$name"; all+=("$R/usr/sbin/$name")
}
for b in $BINS; do f=$(find_bin "$b"); [ -n "$f" ] && [ -e "$f" ] || { say "skipping $b (not found)"; continue; }; put "$f" "$b"; done
for f in "$P"/usr/bin/sg_* "$P"/usr/bin/sginfo; do put "$f" "$(basename "$f")"; done
for a in modprobe insmod lsmod rmmod modinfo depmod; do ln -sf kmod "$R/usr/sbin/$a"; done
# sh is dash: busybox's own shell runs its applets in preference to the real programs in PATH
rm -f "$R/usr/bin/sh" "$R/usr/bin/bash" "$R/usr/bin/ash"; ln -s ../sbin/dash "$R/usr/bin/sh"; ln -s ../sbin/bash "$R/usr/bin/bash"
cp "$VM_CACHE/fio" "$R/usr/sbin/fio"
copy_libs "${all[@]}" "$R/usr/sbin/fio"
if [ -d "$P/lib/multipath" ] || [ -d "$P/usr/lib/multipath" ]; then
  mkdir -p "$R/usr/lib/multipath"; cp "$P"/lib/multipath/*.so "$P"/usr/lib/multipath/*.so "$R/usr/lib/multipath/" 2>/dev/null || true
  copy_libs "$R"/usr/lib/multipath/*.so
fi
for l in libgcc_s.so.1 libnss_files.so.2; do f=/lib/x86_64-linux-gnu/$l; [ -e "$f" ] && cp -nL "$f" "$R/usr/lib/"; done
# modules
depdir=$VM_CACHE/depmod; rm -rf "$depdir"; mkdir -p "$depdir/lib/modules"
cp -r "$KSRC/lib/modules/$KVER" "$depdir/lib/modules/"; depmod -b "$depdir" "$KVER"
mkdir -p "$R/usr/lib/modules/$KVER"
for m in $MODULES; do
  modprobe -d "$depdir" -S "$KVER" --show-depends "$m" 2>/dev/null | awk '$1=="insmod"{print $2}' || say "no module $m (built in, or absent)"
done | sort -u | while read -r ko; do
  rel=${ko#"$depdir"/lib/modules/$KVER/}; mkdir -p "$R/usr/lib/modules/$KVER/$(dirname "$rel")"; cp "$ko" "$R/usr/lib/modules/$KVER/$rel"
done
cp "$depdir/lib/modules/$KVER"/modules.{order,builtin,builtin.modinfo} "$R/usr/lib/modules/$KVER/" 2>/dev/null || true
depmod -b "$R" "$KVER"; rm -rf "$depdir"
# files
printf 'root:x:0:0:root:/root:/bin/sh\n' > "$R/etc/passwd"; printf 'root:x:0:\n' > "$R/etc/group"
printf '127.0.0.1 localhost\n' > "$R/etc/hosts"; printf 'hosts: files\n' > "$R/etc/nsswitch.conf"
cp "$P/etc/iscsi/iscsid.conf" "$R/etc/iscsi/iscsid.conf.debian"
cp "$P/etc/mke2fs.conf" "$R/etc/" 2>/dev/null || cp /etc/mke2fs.conf "$R/etc/"
ln -s /proc/self/mounts "$R/etc/mtab"
cp "$HERE/init" "$R/init"; chmod 755 "$R/init"
(cd "$R" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) > "$VM_CACHE/initrd.tmp"
mv "$VM_CACHE/initrd.tmp" "$VM_CACHE/initrd.cpio"
echo "$stamp" > "$VM_CACHE/initrd.stamp"
say "kernel $KVER; initrd $(du -h "$VM_CACHE/initrd.cpio" | cut -f1) uncompressed, root tree $(du -sh "$R" | cut -f1)"
