#!/bin/sh
# Becomes the sshd of a host of the tests: called in a network namespace of its own, it takes mount and host-name
# namespaces too, so that the host has a name, a home and a /run of its own. Needs root. Ends with the sshd.
set -eu
if [ "${QRUN_OWN_HOST:-}" != yes ]; then
  QRUN_OWN_HOST=yes exec unshare --mount --uts --propagation private -- sh "$0" "$@"
fi
unset QRUN_OWN_HOST
name=$1 directory=$2
hostname "$name"
ip link set lo up
# Where cargo puts pueue, which would be hidden by the home.
if [ -d /root/.cargo/bin ]; then
  mkdir -p "$directory/home/.cargo/bin"
  mount --bind /root/.cargo/bin "$directory/home/.cargo/bin"
fi
mount --rbind "$directory/home" /root
mount -t tmpfs -o mode=755 run /run
mkdir /run/sshd
exec /usr/sbin/sshd -D -e -f "$directory/sshd_config"
