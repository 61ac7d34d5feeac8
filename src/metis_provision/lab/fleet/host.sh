#!/bin/sh
# Becomes a host of a fleet: run as the first process of namespaces of its own, in the host's directory.
# $1: the root all hosts share; $2: the host's name; $3: the capabilities its processes may have
set -eu
image=$1 name=$2 capabilities=$3
here=$(pwd -P)
mkdir -p changes work root
mount -t overlay -o "lowerdir=$image,upperdir=$here/changes,workdir=$here/work" overlay root
cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,nosuid,size=1m tmpfs dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755,nosuid,nodev,size=64m tmpfs run
mkdir run/sshd
# What concerns the kernel is the whole machine's.
for path in sys irq bus; do
    mount --bind "proc/$path" "proc/$path"
    mount -o remount,bind,ro "proc/$path"
done
for path in sysrq-trigger kcore keys timer_list; do
    [ ! -e "proc/$path" ] || mount --bind /dev/null "proc/$path"
done
hostname "$name"
mkdir run/outside
pivot_root . run/outside
# shellcheck disable=SC2016  # for the shell inside
exec chroot . /bin/sh -euc '
    umount -l /run/outside
    rmdir /run/outside
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=linux container=metis-lab \
        setpriv --bounding-set "$1" /sbin/init
' sh "$capabilities"
