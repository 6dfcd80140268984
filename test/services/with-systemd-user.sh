#!/usr/bin/env bash
# Runs COMMAND beside a `systemd --user` of its own, on a machine whose first process is no systemd (a container, a
# CI job): memory caps by `systemd-run --user --scope` then work as they do in a login. Needs root, and the Debian
# packages systemd and dbus. Exit status: that of COMMAND, or 125 when the manager did not start.
#
# Everything lives in a mount namespace with a /run of its own, so that nothing of the machine's is touched; the
# manager and its bus end with COMMAND, or when this script dies.
set -eu
if [ $# -eq 0 ]; then
  echo "usage: with-systemd-user.sh COMMAND [ARG...]" >&2
  exit 2
fi
if [ "${QRUN_OWN_RUN:-}" != yes ]; then
  QRUN_OWN_RUN=yes exec unshare --mount --propagation private -- bash "$0" "$@"
fi
unset QRUN_OWN_RUN
# One manager at a time: they share the control group that this script is in, and one that ends takes the memory
# controller away from the others. The manager and its bus hold the lock too, so that it lasts until they are gone.
exec 9>"${TMPDIR:-/tmp}/qrun-with-systemd-user.lock"
flock 9
mount -t tmpfs -o mode=755 run /run
export XDG_RUNTIME_DIR=/run/user/$(id -u)
export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"

bus='' manager=''
finish() {
  status=$?
  [ -z "$manager" ] || kill -TERM "$manager" 2>/dev/null || true
  [ -z "$manager" ] || wait "$manager" 2>/dev/null || true
  [ -z "$bus" ] || kill -TERM "$bus" 2>/dev/null || true
  [ -z "$bus" ] || wait "$bus" 2>/dev/null || true
  exit "$status"
}
trap finish EXIT

setpriv --pdeathsig TERM -- dbus-daemon --session --nofork --nopidfile --address="$DBUS_SESSION_BUS_ADDRESS" \
  >/dev/null 2>&1 &
bus=$!
# It must not find the bus missing.
for _ in $(seq 1 500); do
  [ -S "$XDG_RUNTIME_DIR/bus" ] && break
  sleep 0.01
done
setpriv --pdeathsig TERM -- /lib/systemd/systemd --user --log-target=null >/dev/null 2>&1 &
manager=$!
for _ in $(seq 1 500); do
  systemctl --user is-system-running >/dev/null 2>&1 && ready=yes && break
  sleep 0.02
done
if [ "${ready:-}" != yes ]; then
  echo "with-systemd-user.sh: systemd --user does not start" >&2
  exit 125
fi
set +e
"$@" 9>&-
