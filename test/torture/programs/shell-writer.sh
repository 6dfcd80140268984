#!/bin/sh
# A writer as scripts have it: appends its lines with cat, under `flock LOG.lock`, and knows nothing of qrun.
# usage: shell-writer.sh LOG NAME GROUPS PAD_BYTES JOURNAL
set -eu
log=$1 name=$2 groups=$3 pad=$(head -c "$4" /dev/zero | tr '\0' 'x') journal=$5
number=0
while [ "$number" -lt "$groups" ]; do
  number=$((number + 1))
  exec 9>>"$log.lock"
  flock 9
  printf '{"shell":"%s","number":%d,"part":1,"parts":2,"pad":"%s"}\n' "$name" "$number" "$pad" >>"$log"
  printf '{"shell":"%s","number":%d,"part":2,"parts":2,"pad":"%s"}\n' "$name" "$number" "$pad" | cat >>"$log"
  exec 9>&-
  echo "$name/$number" >>"$journal"
done
